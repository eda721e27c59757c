"""Keep Ctrl-C out of the import system."""

from __future__ import annotations

import os
import signal
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

IMPORT_SYSTEM = "<frozen importlib._bootstrap>"
RETRY_S = 0.01
"""Delay after which a postponed interrupt is sent again."""


@contextmanager
def not_within_imports() -> Iterator[None]:
    """Let Ctrl-C raise KeyboardInterrupt anywhere but inside the import system.

    There it can be lost in the callback of a weak reference while an import lock is held: the
    program goes on, and the next import on another thread hangs. Does nothing where Ctrl-C has
    another handler, as in the background of a shell.
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
    """Handle SIGINT. Raises: KeyboardInterrupt, unless postponed."""
    if frame is not None and frame.f_code.co_filename == IMPORT_SYSTEM:
        again = threading.Timer(RETRY_S, _send, (number,))
        again.daemon = True
        again.start()
        return
    raise KeyboardInterrupt


def _send(number: int) -> None:
    if sys.platform == "win32":  # where os.kill would end the process
        signal.raise_signal(number)
    else:
        os.kill(os.getpid(), number)
