"""The keyboard of a terminal, read in a thread of its own and given back on exit."""

from __future__ import annotations

import sys
from collections.abc import Callable
from contextlib import ExitStack
from threading import Event, Thread
from types import TracebackType
from typing import Self

from blessed import Terminal

from covo_cli.conversation.request import Request
from covo_cli.screen.keys import KeyMachine

POLL = 0.1
"""Longest wait for a key, in seconds: so long may leaving take."""


class Keyboard:
    """Feeds every key to ``machine`` and each action to ``act``, which is called on this thread.

    Keys come at once and are not echoed (cbreak); Ctrl-C still raises SIGINT. A context manager;
    does nothing unless stdin and stdout are both terminals. ``act`` must be quick and thread-safe.
    """

    def __init__(self, machine: KeyMachine, act: Callable[[Request], None]) -> None:
        self._machine = machine
        self._act = act
        self._stop = Event()
        self._thread: Thread | None = None
        self._restore = ExitStack()

    @staticmethod
    def available() -> bool:
        """Whether there are keys to read."""
        return all(
            stream is not None and not stream.closed and stream.isatty()
            for stream in (sys.__stdin__, sys.__stdout__)
        )

    def __enter__(self) -> Self:
        if not self.available() or self._thread is not None:
            return self
        # Without styling blessed asks the terminal nothing, so no answer can be taken for a key.
        terminal = Terminal(stream=sys.__stdout__, force_styling=None)
        # Entered here and not in the thread: left even if the thread should hang.
        self._restore.enter_context(terminal.cbreak())
        self._thread = Thread(target=self._read, args=(terminal,), name="covo-keys", daemon=True)
        self._thread.start()
        return self

    def __exit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()

    def close(self) -> None:
        """Stop reading and give the terminal its settings back. Safe to call twice."""
        self._stop.set()
        if self._thread is not None:
            self._thread.join(timeout=5 * POLL)
            self._thread = None
        self._restore.close()

    def _read(self, terminal: Terminal) -> None:
        while not self._stop.is_set():
            try:
                key = terminal.inkey(timeout=POLL)
            except (EOFError, OSError):  # the terminal has gone
                return
            if not key:
                continue
            for action in self._machine.feed(key.name or str(key)):
                self._act(action)
