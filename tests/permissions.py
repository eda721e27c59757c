"""Folders that may not be entered, for root neither."""

from __future__ import annotations

import ctypes
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

_VERSION = 0x20080522
_DAC_OVERRIDE, _DAC_READ_SEARCH = 1 << 1, 1 << 2
"""Linux's capabilities that let root do what a file's mode forbids."""


@contextmanager
def out_of_reach(*folders: Path) -> Iterator[None]:
    """Forbid this thread to enter ``folders``, which may be missing again at the end."""
    modes = {folder: folder.stat().st_mode for folder in folders}
    for folder in folders:
        folder.chmod(0)
    try:
        with _permissions_hold():
            yield
    finally:
        for folder, mode in modes.items():
            if folder.exists():
                folder.chmod(mode)


@contextmanager
def _permissions_hold() -> Iterator[None]:
    if sys.platform != "linux":
        yield
        return
    libc = ctypes.CDLL(None)
    this_thread = (ctypes.c_uint32 * 2)(_VERSION, 0)
    before = (ctypes.c_uint32 * 6)()  # effective, permitted, inheritable; then of the high bits
    assert libc.capget(this_thread, before) == 0
    fewer = type(before)(*before)
    fewer[0] &= ~(_DAC_OVERRIDE | _DAC_READ_SEARCH)
    assert libc.capset(this_thread, fewer) == 0
    try:
        yield
    finally:
        assert libc.capset(this_thread, before) == 0
