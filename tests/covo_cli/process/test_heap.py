"""One heap for all threads, without what is free in it: what glibc says of itself."""

from __future__ import annotations

import ctypes
import platform
import re
import subprocess
import sys

import psutil
import pytest

from covo_cli.process.native import return_free_memory

LARGE = """
import ctypes, sys
from covo_cli.process.native import keep_heap_small
if sys.argv[1] == "small":
    keep_heap_small()
libc = ctypes.CDLL(None)
libc.malloc.restype = ctypes.c_void_p
libc.free.argtypes = [ctypes.c_void_p]
libc.free(libc.malloc(30 << 20))
libc.malloc(9 << 20)
sys.stdout.flush()
libc.malloc_stats()
"""

PROGRAM = """
import ctypes, sys, threading
from covo_cli.process.native import keep_heap_small
if sys.argv[1] == "one":
    keep_heap_small()
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


def malloc_stats(program: str, how: str) -> str:
    done = subprocess.run(
        [sys.executable, "-c", program, how], capture_output=True, text=True, check=True
    )
    return done.stderr


def heaps(how: str) -> int:
    return malloc_stats(PROGRAM, how).count("Arena ")


def mapped(how: str) -> int:
    """Return the bytes outside the heap, when a larger block was freed before."""
    total, heap = re.findall(r"in use bytes\s*=\s*(\d+)", malloc_stats(LARGE, how))[::-1]
    return int(total) - int(heap)


GLIBC = pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="another heap than glibc's")


@GLIBC
def test_threads_share_one_heap() -> None:
    assert heaps("one") == 1
    assert heaps("many") > 1


@GLIBC
def test_large_blocks_lie_outside_the_heap() -> None:
    assert mapped("small") >= 9 << 20
    assert mapped("default") < 9 << 20


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
