"""A picture of the live screen, for the README: the same lines, exported as SVG by rich."""

from __future__ import annotations

import io

from rich.console import Console
from rich.text import Text

from covo_cli.screen.keys import KeyState
from covo_cli.screen.panel import Panel
from covo_cli.screen.view import View
from covo_cli.screen.words import Glyphs


def screen_svg(
    view: View, keys: KeyState | None = None, *, title: str, width: int = 92, height: int = 20
) -> str:
    """The screen as it looks at ``view``, what scrolled away included, in a window frame.

    ``height``: how many lines there are at most; the oldest are left out.
    """
    console = Console(record=True, file=io.StringIO(), width=width, color_system="truecolor")
    panel = Panel(console, width, Glyphs())
    status = panel.lines(view, keys or KeyState(), height)
    done = [line for entry in view.entries[: view.settled] for line in panel.entry(entry)]
    lines: list[Text] = [*done, *status][-height:]
    for line in lines:
        console.print(line, no_wrap=True, highlight=False)
    return console.export_svg(title=title)
