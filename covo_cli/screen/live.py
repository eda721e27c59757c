"""The live screen: finished turns scroll away above, a small panel stays below them.

A thread of its own draws, at most 12 times a second and only when something changed, so that the
conversation never waits for the terminal.
"""

from __future__ import annotations

import errno
import logging
import math
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from io import TextIOWrapper
from threading import Event, Lock
from typing import Self, TextIO, cast

from rich.console import (
    Console,  # noqa: TID251 - rich calls with any
    ConsoleDimensions,
    ConsoleOptions,
    Group,
    RenderResult,
)
from rich.control import Control
from rich.live import Live
from rich.segment import ControlType
from rich.text import Text

from audio_io.worker import Worker, details_hint, join_all
from covo_cli.conversation.consumer import Tick
from covo_cli.errors import OutputClosed
from covo_cli.process.terminal import PlainConsole
from covo_cli.screen.keys import KeyState
from covo_cli.screen.panel import Panel
from covo_cli.screen.plain import LinesScreen
from covo_cli.screen.view import ConversationView
from covo_cli.screen.words import glyphs_for
from covo_cli.sessions.transcript import NAMES

FRAME_S = 1 / 12
"""Seconds between two drawings."""

CLOSE_LIMIT_S = 0.7
"""How long closing waits for a terminal that takes no output, as after Ctrl-S.

With the keyboard's wait it stays within :data:`covo_cli.process.leaving.QUIT_S`.
"""

BEGIN_PAINT, END_PAINT = "\x1b[?2026h\x1b[?7l", "\x1b[?7h\x1b[?2026l"
"""Synchronised output (other terminals ignore it), and no automatic wrapping.

A frame drawn just before the terminal reports that it got narrower is then cut off at the edge
instead of taking more rows than were counted.
"""

TERMINAL_GONE = "the terminal has gone"

log = logging.getLogger(__name__)


class _ScreenConsole(PlainConsole):
    def on_broken_pipe(self) -> None:
        """Raise; rich would exit."""
        raise BrokenPipeError(errno.EPIPE, "the terminal has gone")


class _Lines:
    """The live display's content."""

    def __init__(self) -> None:
        self.lines: list[Text] = []

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        yield from self.lines


class LiveScreen:
    """Shows ``view``; a consumer and a context manager.

    ``keys`` returns the keyboard's state. Entering hides the cursor; leaving clears the panel,
    prints what is left and shows the cursor. After a bug in the drawing the conversation continues
    with plain lines.
    """

    def __init__(
        self,
        view: ConversationView,
        keys: Callable[[], KeyState] = KeyState,
        console: PlainConsole | None = None,
    ) -> None:
        self._view = view
        self._keys = keys
        self._console = console or _ScreenConsole()
        self._glyphs = glyphs_for(self._console.encoding)
        self._lines = _Lines()
        self._live = self._new_live()
        self._drawing = Lock()
        self._released = False
        self._printed = 0
        self._size = self._console.size
        self._stop = Event()
        self._lost = False
        self._painter: Worker | None = None
        self._plain: LinesScreen | None = None

    def __enter__(self) -> Self:
        if isinstance(sys.stdout, TextIOWrapper):
            sys.stdout.reconfigure(errors="replace")  # print ? for what it lacks
        self._live.start()
        self._painter = Worker(self._paint_until_stopped, "screen")
        self._painter.start()
        return self

    def __exit__(self, *exception: object) -> None:
        self.close()

    def on_tick(self, tick: Tick) -> None:
        """Take in one frame. Raises: OutputClosed when the terminal has gone."""
        if self._lost:
            raise OutputClosed(TERMINAL_GONE)
        if self._plain is not None:
            self._plain.on_tick(tick)
            return
        try:
            self._view.on_tick(tick)
        except Exception:
            log.exception("the view of the conversation failed")
            self.close()
            self._plain = self._plain or self._fall_back(tick.at)
        else:
            if self._painter is not None and self._painter.dead:
                self._plain = self._fall_back(tick.at)

    def close(self) -> None:
        """Print what is left and give the terminal back. Safe to call twice."""
        self._stop.set()
        if self._painter is None:
            return
        join_all([self._painter], CLOSE_LIMIT_S)
        if self._painter.dead and self._plain is None:
            with suppress(OutputClosed):
                self._plain = self._fall_back(self._view.now.at)

    def release(self) -> None:
        """Clear the panel and give the terminal back until :meth:`take`."""
        with self._no_drawing() as free:
            if free and not self._released:
                self._released = True
                with suppress(OSError):
                    self._paint([], [], self._console.size)
                    self._live.stop()

    def take(self) -> None:
        """Draw again below whatever the terminal shows now."""
        with self._no_drawing() as free:
            if not free:
                return
            with suppress(OSError):
                self._live.stop()
                self._live = self._new_live()  # the old one knows where its panel was
                self._live.start()
            self._lines.lines = []
            self._size = self._console.size
            self._released = False

    @contextmanager
    def _no_drawing(self) -> Iterator[bool]:
        """Keep the painter still; yields False where it cannot be, or does not run."""
        running = self._painter is not None and self._painter.is_alive()
        if not running or not self._drawing.acquire(timeout=CLOSE_LIMIT_S):
            yield False
            return
        try:
            yield True
        finally:
            self._drawing.release()

    def _new_live(self) -> Live:
        return Live(self._lines, console=self._console, auto_refresh=False, transient=True)

    def draw(self, last: bool = False) -> None:
        """Bring the terminal up to date. ``last``: print everything and leave no panel."""
        view, keys, size = self._view.now, self._keys(), self._console.size
        panel = Panel(self._console, size.width, self._glyphs)
        settled = len(view.entries) if last else view.settled
        done = [line for e in view.entries[self._printed : settled] for line in panel.entry(e)]
        resized = size != self._size
        room = size.height - 1
        lines = [] if last else panel.lines(view, keys, room)
        if not (last or resized):
            # Keep the panel's foot where it is: leave the rows it gives up blank above it until
            # more is printed there.
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
                # Erase the rows into which the terminal has wrapped the old panel.
                rows = sum(max(1, math.ceil(x.cell_len / size.width)) for x in self._lines.lines)
                up = Control((ControlType.ERASE_IN_LINE, 2), (ControlType.CURSOR_UP, 1))
                console.control(*[up] * (rows - len(self._lines.lines)))
            self._size = size
            self._lines.lines = lines
            if done:
                console.print(Group(*done))
            else:
                self._live.refresh()
        if console.is_terminal:
            console.file.write(END_PAINT)
            console.file.flush()

    def _paint_until_stopped(self) -> None:
        """Draw, and give the terminal back, here because it may be one that takes no output."""
        try:
            while not self._stop.is_set():
                with self._drawing:
                    if not self._released:
                        self.draw()
                self._stop.wait(FRAME_S)
            self.draw(last=True)
        except OSError:
            self._lost = True
        finally:
            with suppress(OSError):  # a terminal that has gone needs nothing back
                self._live.stop()

    def _fall_back(self, at: int) -> LinesScreen:
        view = self._view.now
        plain = LinesScreen(view.info, cast(TextIO, self._console.file))
        hint = details_hint()
        plain.line(at, f"-- error: the live screen failed; plain lines from here on{hint}")
        for entry in view.entries[self._printed :]:
            if entry.final:
                plain.line(entry.end, f"{NAMES[entry.who].lower()}: {entry.shown}")
        return plain
