"""What the user sees of a conversation: a live screen, plain lines, or JSON.

``on_tick`` raises :class:`~covo_cli.errors.OutputClosed` when the terminal or the reader of stdout
has gone; the conversation then ends as if the user had quit.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from typing import Literal

from covo_cli.process.terminal import takes_commands
from covo_cli.screen.keys import KeyState
from covo_cli.screen.live import LiveScreen
from covo_cli.screen.plain import JsonScreen, LinesScreen
from covo_cli.screen.view import ConversationInfo, ConversationView

Screen = LiveScreen | LinesScreen | JsonScreen
ScreenMode = Literal["live", "lines", "json"]


def choose_mode(json: bool = False) -> ScreenMode:
    """Return ``json`` if asked for, ``live`` if stdout is a capable terminal, else ``lines``."""
    if json:
        return "json"
    return "live" if sys.stdout.isatty() and takes_commands() else "lines"


def make_screen(
    mode: ScreenMode,
    info: ConversationInfo,
    keys: Callable[[], KeyState] = KeyState,
    *,
    real_time: bool = False,
) -> Screen:
    """Return the screen for ``mode``, on stdout.

    ``keys`` returns the keyboard's state, for the live screen. ``real_time``: the conversation must
    not wait for the reader of stdout.
    """
    match mode:
        case "json":
            return JsonScreen(real_time=real_time)
        case "lines":
            return LinesScreen(info, real_time=real_time)
        case "live":
            return LiveScreen(ConversationView(info), keys)
