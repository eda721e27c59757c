"""End the process in bounded time, whatever a thread or a native library is doing."""

from __future__ import annotations

import contextlib
import errno
import faulthandler
import os
import sys
import threading
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, NoReturn, TextIO

EXIT_ERROR = 1
EXIT_INTERRUPTED = 130

QUIT_S = 1.5
"""Limit for each of the two stages of quitting: ending the loop, closing the parts."""

LAST_WORDS_S = 1.0
"""Limit for the very last output, which a terminal may not take, as after Ctrl-S."""


@dataclass
class _Process:
    owned: bool = False
    terminal: Any = None  # of tcgetattr


_PROCESS = _Process()


def own_process() -> None:
    """Let :func:`leave_within` end this process. Without this call, as in tests, it never does.

    Also lets a crash inside a native library show where Python was.
    """
    _PROCESS.owned = True
    with contextlib.suppress(AttributeError, OSError, RuntimeError):  # without a real stderr
        faulthandler.enable()
    if sys.stdin is None or not sys.stdin.isatty():
        return
    with contextlib.suppress(ImportError):
        import termios

        _PROCESS.terminal = termios.tcgetattr(sys.stdin)


def leave_within(
    seconds: float, code: int, last_words: Callable[[], str] = lambda: ""
) -> threading.Timer:
    """Start a countdown that ends the process unless the returned timer is cancelled first.

    It then logs what every thread is doing and writes ``last_words()`` to stderr.
    """
    timer = threading.Timer(seconds, _give_up, (seconds, code, last_words))
    timer.name, timer.daemon = "countdown", True
    if _PROCESS.owned:
        timer.start()
    return timer


def leave(code: int) -> NoReturn:
    """End the process with ``code``, skipping Python's finalisation if a worker still runs.

    A thread inside a native library would hang or abort the finalisation.
    """
    working = [t.name for t in threading.enumerate() if t.name.startswith("covo-")]
    if working:
        import logging

        logging.getLogger(__name__).info("leaving with workers running: %s", ", ".join(working))
        _exit_now(code)
    for stream in (sys.stdout, sys.stderr):
        _drop_unreadable(stream)
    sys.exit(code)


def _drop_unreadable(stream: TextIO) -> None:
    """Drop what is left to write if its reader has gone, which would change the exit code."""
    try:
        stream.flush()
    except OSError as error:
        if error.errno in (errno.EIO, errno.EPIPE):
            os.dup2(os.open(os.devnull, os.O_WRONLY), stream.fileno())
    except ValueError:  # closed
        pass


def _give_up(seconds: float, code: int, last_words: Callable[[], str]) -> None:
    import logging

    from covo_cli.process.log import log_path

    def say_so() -> None:
        with contextlib.suppress(Exception):
            import termios

            if _PROCESS.terminal is not None:
                termios.tcsetattr(sys.stdin, termios.TCSANOW, _PROCESS.terminal)
        logging.getLogger(__name__).error(
            "not closed after %g s; leaving; the threads are:", seconds
        )
        with contextlib.suppress(OSError), log_path().open("a") as stream:
            faulthandler.dump_traceback(stream)
        if sys.stdout.isatty():
            sys.stdout.write("\x1b[?2004l\x1b[?25h\n")  # pastes unmarked, the cursor shown
        if words := last_words():
            sys.stderr.write(f"{words}\n")

    _exit_now(code, say_so)


def _exit_now(code: int, *last: Callable[[], object]) -> NoReturn:
    import logging

    def finish() -> None:
        with contextlib.suppress(Exception):
            for step in last:
                step()
        for stream in (sys.stdout, sys.stderr):
            with contextlib.suppress(OSError, ValueError, AttributeError):
                stream.flush()
        logging.shutdown()

    # A thread that writes to a reader who takes nothing holds the stream's lock for good.
    output = threading.Thread(target=finish, daemon=True)
    output.start()
    output.join(LAST_WORDS_S)
    os._exit(code)
