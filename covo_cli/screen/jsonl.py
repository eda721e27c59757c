"""The screen of another program: every event as one line of JSON."""

from __future__ import annotations

import sys
from types import TracebackType
from typing import Self, TextIO

from covo_cli.sessions.event_log import EventWriter


class JsonScreen(EventWriter):
    """Writes every event to ``stream`` (stdout), as ASCII so that no encoding can spoil it.

    Raises BrokenPipeError from :meth:`on_tick` when nobody reads any more: that is to end the
    conversation like a quit.
    """

    def __init__(self, stream: TextIO | None = None) -> None:
        super().__init__(stream if stream is not None else sys.stdout)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()
