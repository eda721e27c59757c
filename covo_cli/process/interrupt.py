"""Ctrl-C while a program is still importing."""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

IMPORT_SYSTEM = "<frozen importlib._bootstrap>"
AGAIN = 0.01
"""Seconds after which an interrupt that was put off comes again."""


@contextmanager
def not_within_imports() -> Iterator[None]:
    """Ctrl-C raises KeyboardInterrupt as ever, but never inside of the import system.

    There it can be lost (in the callback of a weak reference), with the lock that all imports wait
    for never given back: the program goes on, and its first import on another thread hangs. Where
    Ctrl-C does something else (nothing, in the background of a shell), it stays so.
    """
    before = signal.getsignal(signal.SIGINT)
    if before is not signal.default_int_handler:
        yield
        return
    signal.signal(signal.SIGINT, interrupt)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)


def interrupt(number: int, frame: FrameType | None) -> None:
    """The handler. Raises: KeyboardInterrupt, now or in a moment."""
    if frame is not None and frame.f_code.co_filename == IMPORT_SYSTEM:
        again = threading.Timer(AGAIN, os.kill, (os.getpid(), number))
        again.daemon = True
        again.start()
        return
    raise KeyboardInterrupt
