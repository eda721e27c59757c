"""What the user sees of a conversation: a live screen, plain lines, or JSON.

All are consumers and context managers. ``on_tick`` raises BrokenPipeError when nobody can see the
screen any more (a closed stdout, a terminal that has gone): the conversation is to end then, as if
the user had quit.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from types import TracebackType
from typing import TYPE_CHECKING, Literal, Protocol, Self

from covo_cli.conversation.consumer import Consumer

if TYPE_CHECKING:
    from covo_cli.screen.keys import KeyState
    from covo_cli.screen.view import ConversationInfo

ScreenMode = Literal["live", "lines", "json"]


class Screen(Consumer, Protocol):
    """A consumer that owns the terminal between ``__enter__`` and ``__exit__``."""

    def __enter__(self) -> Self:
        """Take the terminal."""

    def __exit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        """Give it back."""


def choose_mode(json: bool = False) -> ScreenMode:
    """``json`` when asked for, ``live`` if stdout is a terminal that can, else ``lines``."""
    if json:
        return "json"
    able = os.environ.get("TERM", "").lower() not in ("dumb", "unknown")
    return "live" if sys.stdout.isatty() and able else "lines"


def make_screen(
    mode: ScreenMode,
    info: ConversationInfo,
    keys: Callable[[], KeyState] | None = None,
) -> Screen:
    """The screen for ``mode``, on stdout.

    ``keys``: what the keyboard is in the middle of, for the live screen's prompt and help.
    """
    if mode == "json":
        from covo_cli.screen.jsonl import JsonScreen

        return JsonScreen()
    if mode == "lines":
        from covo_cli.screen.lines import LinesScreen

        return LinesScreen(info)
    from covo_cli.screen.keys import KeyState
    from covo_cli.screen.live import LiveScreen
    from covo_cli.screen.view import ConversationView

    return LiveScreen(ConversationView(info), keys or KeyState)
