"""Print on a terminal what others wrote, exactly as it is.

Rich reads ``[old]`` in a string as markup and ``:key:`` as an emoji. Every console of covo is a
:class:`PlainConsole`, which does neither; ruff refuses rich's own. Styles are given as
:class:`rich.text.Text`.
"""

from __future__ import annotations

import os
import re
from typing import IO, TYPE_CHECKING, Any

from rich.console import Console  # noqa: TID251 - the one place
from rich.status import Status
from rich.text import Text

if TYPE_CHECKING:
    from rich.progress import Progress, ProgressColumn

_COMMANDS = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f]")
"""Control characters that could move the cursor or more; not the tab and the line feed."""
_PACE_S = 3600.0
"""Work that the time left is reckoned by."""


def takes_commands() -> bool:
    """Return whether ``TERM`` names a terminal that understands escape sequences."""
    return os.environ.get("TERM", "").lower() not in ("dumb", "unknown")


class PlainConsole(Console):
    """A console on stdout, ``stderr`` or ``file`` that takes strings as they are.

    ``wide``: never wrap lines.
    """

    def __init__(
        self,
        *,
        stderr: bool = False,
        file: IO[str] | None = None,
        width: int | None = None,
        wide: bool = False,
    ) -> None:
        super().__init__(
            stderr=stderr,
            file=file,
            width=width,
            soft_wrap=wide,
            markup=False,
            emoji=False,
            highlight=False,
        )

    def render_str(self, text: str, **how: Any) -> Text:
        """Return ``text`` for printing, without terminal commands."""
        return super().render_str(_COMMANDS.sub("\N{REPLACEMENT CHARACTER}", text), **how)

    def status(self, status: Any, **how: Any) -> Status:
        """Return a spinner beside ``status``."""
        return _PlainStatus(_plain(status), console=self, **how)


def long_progress(console: PlainConsole, *columns: ProgressColumn) -> Progress:
    """Return progress bars for hours of work: the time left is told of steps that take minutes."""
    from rich.progress import Progress, TimeElapsedColumn

    usual = Progress.get_default_columns()
    return Progress(
        *usual, TimeElapsedColumn(), *columns, console=console, speed_estimate_period=_PACE_S
    )


class _PlainStatus(Status):
    def update(self, status: Any = None, **how: Any) -> None:
        super().update(None if status is None else _plain(status), **how)


def _plain(text: Any) -> Any:
    return Text(_COMMANDS.sub(" ", text)) if isinstance(text, str) else text
