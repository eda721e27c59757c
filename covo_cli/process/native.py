"""Tame native libraries: off the terminal and the network, one heap, no spinning threads.

ALSA, PortAudio and others write straight to file descriptor 2, also while they are closed and at
the very end of the process. One such line would move everything on the live screen.
"""

from __future__ import annotations

import ctypes
import os
import platform
import sys
from collections.abc import Iterator
from contextlib import contextmanager, redirect_stderr
from pathlib import Path

STDERR = 2
_M_MMAP_THRESHOLD, _M_ARENA_MAX = -3, -8
"""Of glibc's malloc.h."""
_LARGE = 8 << 20
"""Bytes of a block that is kept out of the heap."""


def keep_libraries_to_themselves() -> None:
    """Turn off what libraries would report to their makers; call it before they are imported.

    onnxruntime 1.32 keeps a device ID in the home folder and uploads events unless told not to. A
    value that the user has set stays.
    """
    for variable in ("ORT_DISABLE_TELEMETRY", "HF_HUB_DISABLE_TELEMETRY", "DO_NOT_TRACK"):
        os.environ.setdefault(variable, "1")


def let_waiting_threads_sleep() -> None:
    """Let OpenMP's threads sleep while they wait for each other; call it before libraries that use
    OpenMP are imported. A value that the user has set stays.

    Spinning, they keep the core that the thread they wait for needs: with one of two cores busy,
    the demo's questions were answered after 1.6 s; with threads that spin, none was in 45 s.
    """
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")


def let_numpy_use_one_thread() -> None:
    """Keep OpenBLAS from splitting small products; call it before numpy is imported. A value that
    the user has set stays.

    Its threads spin, too: telling whose voice 2.5 s of speech are takes 68 ms of one core then,
    and 228 ms of two cores otherwise.
    """
    os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")


def bound_product_cache() -> None:
    """Let oneDNN keep the code it generates for 64 shapes of matrix products instead of 1,024; call
    it before CTranslate2 is imported. A value that the user has set stays.

    Whisper's shapes change with every recording: what was kept of them grew by 27 MB in 100, and
    grows by 4 MB at most now. The 100 took 28.9 s of CPU instead of 28.6 (AMD EPYC).
    """
    os.environ.setdefault("ONEDNN_PRIMITIVE_CACHE_CAPACITY", "64")


def keep_heap_small() -> None:
    """Keep glibc from giving each thread its own heap, and large blocks out of it; call it before
    threads are started (``mallopt(3)``).

    Replies are made on new threads, and each heap keeps its peak size: with one heap for all,
    synthesis levels off at 345 MB instead of 430 MB. A block of 8 MB or more gets memory of its
    own, which goes back to the system with it. In a heap such blocks leave holes: 12 minutes of
    talk left 30 to 45 MB free instead of 115 to 148, at hardly any cost. From 1 MB on, it would
    cost Whisper a quarter more.
    """
    if _is_glibc():
        libc = ctypes.CDLL(None)
        libc.mallopt(_M_ARENA_MAX, 1)
        libc.mallopt(_M_MMAP_THRESHOLD, _LARGE)


def return_free_memory() -> None:
    """Give the system back what loading took and freed, which glibc keeps (``malloc_trim(3)``)."""
    if _is_glibc():
        ctypes.CDLL(None).malloc_trim(0)


def send_native_stderr_to(path: Path) -> None:
    """Send file descriptor 2 to ``path``, emptied first, until the process ends.

    ``sys.stderr`` stays on the terminal. Does nothing when stderr is no terminal. If the file
    cannot be opened, what is written is dropped.
    """
    if not os.isatty(STDERR):
        return
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        target = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    except OSError:
        target = os.open(os.devnull, os.O_WRONLY)
    sys.stderr.flush()
    terminal = os.dup(STDERR)
    os.dup2(target, STDERR)
    os.close(target)
    encoding = sys.stderr.encoding
    sys.stderr = os.fdopen(terminal, "w", buffering=1, encoding=encoding, errors="backslashreplace")


@contextmanager
def python_stderr_off_terminal() -> Iterator[None]:
    """Send ``sys.stderr`` to the native log while the live screen owns the terminal."""
    beside = sys.__stderr__
    if beside is None or sys.stderr is beside or not sys.stderr.isatty():
        yield
        return
    with redirect_stderr(beside):
        try:
            yield
        finally:
            beside.flush()


def _is_glibc() -> bool:
    return platform.libc_ver()[0] == "glibc"
