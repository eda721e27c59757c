"""One heap for all threads, without what is free in it: what glibc says of itself."""

from __future__ import annotations

import ctypes
import platform
import subprocess
import sys

import psutil
import pytest

from covo_cli.process.native import return_free_memory

PROGRAM = """
import ctypes, sys, threading
from covo_cli.process.native import share_one_heap
if sys.argv[1] == "one":
    share_one_heap()
libc = ctypes.CDLL(None)
libc.malloc.restype = ctypes.c_void_p
threads = [threading.Thread(target=libc.malloc, args=(1000,)) for _ in range(4)]
for thread in threads:
    thread.start()
for thread in threads:
    thread.join()
sys.stdout.flush()
libc.malloc_stats()
"""


def heaps(how: str) -> int:
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM, how], capture_output=True, text=True, check=True
    )
    return done.stderr.count("Arena ")


GLIBC = pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="another heap than glibc's")


@GLIBC
def test_threads_share_one_heap() -> None:
    assert heaps("one") == 1
    assert heaps("many") > 1


@GLIBC
def test_what_is_free_below_a_block_in_use_is_returned() -> None:
    libc = ctypes.CDLL(None)
    libc.malloc.restype = ctypes.c_void_p
    libc.free.argtypes = [ctypes.c_void_p]
    *freed, used = [libc.malloc(8192) for _ in range(4000)]
    for block in (*freed, used):
        ctypes.memset(block, 1, 8192)
    for block in freed:
        libc.free(block)
    process = psutil.Process()
    before = process.memory_info().rss
    return_free_memory()
    assert before - process.memory_info().rss > 25e6
    libc.free(used)
