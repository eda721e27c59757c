"""The keyboard of a terminal, read on a thread of its own and given back on exit."""

from __future__ import annotations

import os
import select
import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from threading import Event
from typing import Self

from blessed import Terminal

from audio_io.worker import Worker, details_hint, join_all
from covo_cli.conversation.request import FailureReport, Request
from covo_cli.process.terminal import takes_commands
from covo_cli.screen.keys import KeyMachine

try:
    from termios import error as _termios_error
except ImportError:  # Windows
    _GONE: tuple[type[Exception], ...] = (OSError,)
else:
    _GONE = (OSError, _termios_error)

POLL_S = 0.1
"""Longest wait for a key, and thus for closing."""

PASTE_PAUSE_S = 0.5
"""Longest pause within a paste."""

RESTARTS = 3

_CSI = "\x1b["
_BEGIN_PASTE, _END_PASTE = "200~", f"{_CSI}201~"


class Keyboard:
    """Feeds every key to ``machine``, and its requests to ``act``, on a thread of its own.

    Keys come at once and are not echoed (cbreak); Ctrl-C still raises SIGINT. What is pasted is no
    keys, where the terminal can tell. Does nothing unless stdin and stdout are both terminals.
    ``act`` must be quick and thread-safe.
    """

    def __init__(self, machine: KeyMachine, act: Callable[[Request], None]) -> None:
        self._machine = machine
        self._act = act
        self._failures = 0
        self._stop = Event()
        self._reader: Worker | None = None
        self._restore = ExitStack()
        self._terminal: Terminal | None = None

    @staticmethod
    def available() -> bool:
        """Return whether there are keys to read."""
        return all(
            stream is not None and not stream.closed and stream.isatty()
            for stream in (sys.__stdin__, sys.__stdout__)
        )

    def __enter__(self) -> Self:
        if not self.available() or self._reader is not None:
            return self
        terminal = _unstyled_terminal()
        self._terminal = terminal  # first: the program may be stopped and continued at any moment
        # Not on the thread, which may hang: this must be undone.
        with suppress(*_GONE):  # a terminal that has gone has no keys
            self._set_up(terminal)
            self.start(terminal)
        return self

    def __exit__(self, *exception: object) -> None:
        self.close()

    def start(self, terminal: Terminal) -> None:
        """Begin to read the keys of ``terminal``."""
        self._reader = Worker(
            lambda: self._read(terminal), "keys", restarts=RESTARTS, on_failure=self._failed
        )
        self._reader.start()

    def release(self) -> None:
        """Give the terminal its settings back until :meth:`take`."""
        with suppress(*_GONE):  # a terminal that has gone needs nothing back
            self._restore.close()

    def take(self) -> None:
        """Let keys come at once again."""
        self.release()
        if self._terminal is not None and not self._stop.is_set():
            with suppress(*_GONE):
                self._set_up(self._terminal)

    def _set_up(self, terminal: Terminal) -> None:
        self._restore.enter_context(terminal.cbreak())
        if takes_commands():
            self._restore.enter_context(_pastes_marked(terminal))

    def close(self) -> None:
        """Stop reading and give the terminal its settings back. Safe to call twice."""
        self._stop.set()
        if self._reader is not None:
            join_all([self._reader], 5 * POLL_S)
            self._reader = None
        self.release()

    def _read(self, terminal: Terminal) -> None:
        while not self._stop.is_set():
            try:
                key = terminal.inkey(timeout=POLL_S)
            except (EOFError, OSError):  # the terminal has gone
                return
            if not key:
                continue
            if key == _CSI and (pasted := _pasted(terminal)) is not None:
                self._machine.paste(pasted)
                continue
            for action in self._machine.feed(key.name or str(key)):
                self._act(action)

    def _failed(self, error: BaseException) -> None:
        self._failures += 1
        what = "a key failed" if self._failures <= RESTARTS else "stopped; quit with Ctrl-C"
        self._act(FailureReport(f"keyboard: {what}{details_hint()}"))


def _unstyled_terminal() -> Terminal:
    """Return the terminal without styling: with it, blessed would query the terminal, and the
    answer could be taken for keys."""
    found = os.environ.get("NO_COLOR")
    os.environ["NO_COLOR"] = "1"  # nothing else outweighs FORCE_COLOR
    try:
        return Terminal(stream=sys.__stdout__, force_styling=None)
    finally:
        del os.environ["NO_COLOR"]
        if found is not None:
            os.environ["NO_COLOR"] = found


@contextmanager
def _pastes_marked(terminal: Terminal) -> Iterator[None]:
    """Let the terminal mark what is pasted (bracketed paste)."""
    _command(terminal, "\x1b[?2004h")
    try:
        yield
    finally:
        _command(terminal, "\x1b[?2004l")


def _command(terminal: Terminal, sequence: str) -> None:
    """Write ``sequence`` unless the terminal takes no output now, as after Ctrl-S."""
    with suppress(OSError, ValueError):
        if select.select([], [terminal.stream], [], POLL_S)[1]:
            terminal.stream.write(sequence)
            terminal.stream.flush()


def _pasted(terminal: Terminal) -> str | None:
    """Return what is pasted after the first two characters of its mark; None if nothing is."""
    text = terminal.flushinp()
    if not text.startswith(_BEGIN_PASTE):
        terminal.ungetch(text)
        return None
    while _END_PASTE not in text and (more := terminal.flushinp(PASTE_PAUSE_S)):
        text += more
    pasted, _, rest = text.removeprefix(_BEGIN_PASTE).partition(_END_PASTE)
    terminal.ungetch(rest)
    return pasted
