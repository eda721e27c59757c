"""Give the terminal back on Ctrl-Z, and take it again when the shell continues the program.

The shell changes the terminal's settings while the program is stopped, and what it prints moves the
panel; a program stopped by SIGSTOP is not even told. Windows has neither.
"""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType
from typing import Protocol

STDOUT = 1


class UsesTerminal(Protocol):
    """What holds the terminal while the program runs in the foreground; it may have gone."""

    def release(self) -> None:
        """Give the terminal back."""

    def take(self) -> None:
        """Take it again, whatever has happened to it."""


if sys.platform == "win32":

    @contextmanager
    def job_control(*users: UsesTerminal) -> Iterator[None]:
        """Do nothing."""
        yield

else:

    @contextmanager
    def job_control(*users: UsesTerminal) -> Iterator[None]:
        """Let ``users`` give the terminal back when the program is stopped, the first one first."""

        def take() -> None:
            if not _in_foreground():  # continued with bg: touching the terminal would stop it
                return
            for user in reversed(users):
                user.take()

        def stop(number: int, frame: FrameType | None) -> None:
            for user in users:
                user.release()
            signal.signal(signal.SIGTSTP, signal.SIG_DFL)
            os.kill(os.getpid(), signal.SIGTSTP)  # stands still here until SIGCONT
            signal.signal(signal.SIGTSTP, stop)
            take()

        before = {number: signal.getsignal(number) for number in (signal.SIGTSTP, signal.SIGCONT)}
        if before[signal.SIGTSTP] is not signal.SIG_IGN:
            signal.signal(signal.SIGTSTP, stop)
        signal.signal(signal.SIGCONT, lambda number, frame: take())
        try:
            yield
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)

    def _in_foreground() -> bool:
        try:
            return os.tcgetpgrp(STDOUT) == os.getpgrp()
        except OSError:
            return True
