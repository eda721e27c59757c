"""The live screen: finished turns scroll away above, a small panel stays below them.

The panel is drawn on a thread of its own, about 12 times a second and only when something changed,
so that the conversation's thread never waits for the terminal. What is finished is printed for
good and can be scrolled back to, during the conversation and after it.
"""

from __future__ import annotations

import errno
import math
import sys
from collections.abc import Callable
from contextlib import suppress
from io import TextIOWrapper
from threading import Event, Lock, Thread
from types import TracebackType
from typing import Self

from rich.console import Console, ConsoleDimensions, ConsoleOptions, Group, RenderResult
from rich.control import Control
from rich.live import Live
from rich.segment import ControlType
from rich.text import Text

from covo_cli.conversation.consumer import Tick
from covo_cli.screen.keys import KeyState
from covo_cli.screen.panel import Panel
from covo_cli.screen.view import ConversationView
from covo_cli.screen.words import glyphs_for

FRAME = 1 / 12
"""Seconds between two looks at the view."""

BEGIN_PAINT, END_PAINT = "\x1b[?2026h\x1b[?7l", "\x1b[?7h\x1b[?2026l"
"""Terminals that know the first mode show what is between these at once; the others ignore it.

Without automatic wrapping, the second, a frame that is drawn before the news of a narrower terminal
has come is cut off at its edge, and does not get more rows than were counted.
"""


class _Console(Console):
    """Standard output, as it is at the moment."""

    def on_broken_pipe(self) -> None:
        """Tell it to who draws; rich would exit."""
        raise BrokenPipeError(errno.EPIPE, "the terminal has gone")


class _Lines:
    """What the live display holds: always the newest lines."""

    def __init__(self) -> None:
        self.lines: list[Text] = []

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        yield from self.lines


class LiveScreen:
    """Shows ``view``; a consumer and a context manager.

    ``keys`` says what the keyboard is in the middle of. Entering it hides the cursor, leaving it,
    however that comes about, clears the panel, prints what is left and shows the cursor again.
    """

    def __init__(
        self,
        view: ConversationView,
        keys: Callable[[], KeyState] = KeyState,
        console: Console | None = None,
    ) -> None:
        self._view = view
        self._keys = keys
        self._console = console or _Console()
        self._glyphs = glyphs_for(self._console.encoding)
        self._lines = _Lines()
        self._live = Live(self._lines, console=self._console, auto_refresh=False, transient=True)
        self._printed = 0
        self._size = self._console.size
        self._drawing = Lock()
        self._stop = Event()
        self._lost = False
        self._thread: Thread | None = None

    def __enter__(self) -> Self:
        if isinstance(sys.stdout, TextIOWrapper):
            sys.stdout.reconfigure(errors="replace")  # what cannot be shown must not end it
        self._live.start()
        self._thread = Thread(target=self._run, name="covo-screen", daemon=True)
        self._thread.start()
        return self

    def __exit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()

    def on_tick(self, tick: Tick) -> None:
        """Take note of one frame. Raises: BrokenPipeError when the terminal has gone."""
        self._view.on_tick(tick)
        if self._lost:
            raise BrokenPipeError(errno.EPIPE, "the terminal has gone")

    def close(self) -> None:
        """Print what is left and give the terminal back. Safe to call twice."""
        self._stop.set()
        if self._thread is not None:
            self._thread.join()
            self._thread = None
        if not self._live.is_started:
            return
        with suppress(OSError):  # a terminal that has gone needs nothing back
            try:
                self.draw(last=True)
            finally:
                self._live.stop()

    def draw(self, last: bool = False) -> None:
        """Bring the terminal up to date. ``last``: print everything, and leave no panel."""
        with self._drawing:
            view, keys, size = self._view.now, self._keys(), self._console.size
            panel = Panel(self._console, size.width, self._glyphs)
            settled = len(view.entries) if last else view.settled
            done = [line for e in view.entries[self._printed : settled] for line in panel.entry(e)]
            resized = size != self._size
            room = size.height - 1
            lines = [] if last else panel.lines(view, keys, room)
            if not (last or resized):
                # The panel's foot stays where it is: what it loses in height is left blank above
                # it, until more is printed there.
                blank = min(len(self._lines.lines) - len(done), room) - len(lines)
                lines = [*[Text()] * blank, *lines]
            if lines == self._lines.lines and not done and not resized:
                return
            self._paint(lines, done, size)
            self._printed = settled

    def _paint(self, lines: list[Text], done: list[Text], size: ConsoleDimensions) -> None:
        console = self._console
        if console.is_terminal:
            console.file.write(BEGIN_PAINT)
        with console:
            if size.width < self._size.width:
                console.control(*self._unwrap(size.width))
            self._size = size
            self._lines.lines = lines
            if done:
                console.print(Group(*done))
            else:
                self._live.refresh()
        if console.is_terminal:
            console.file.write(END_PAINT)
            console.file.flush()

    def _unwrap(self, width: int) -> list[Control]:
        """Remove the rows that the old panel got when a narrower terminal wrapped its lines."""
        wrapped = sum(max(0, math.ceil(line.cell_len / width) - 1) for line in self._lines.lines)
        up = Control((ControlType.ERASE_IN_LINE, 2), (ControlType.CURSOR_UP, 1))
        return [up] * wrapped

    def _run(self) -> None:
        while not self._stop.is_set():
            try:
                self.draw()
            except OSError:
                self._lost = True
                return
            self._stop.wait(FRAME)
