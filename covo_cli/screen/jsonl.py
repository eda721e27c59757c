"""The screen of another program: every event as one line of JSON."""

from __future__ import annotations

import json
import sys
from operator import methodcaller
from types import TracebackType
from typing import Self, TextIO

from covo_cli.conversation.consumer import Tick
from model.events import event_to_dict


class JsonScreen:
    """Writes :func:`model.events.event_to_dict` of each event to ``stream`` (stdout), at once.

    The JSON is ASCII, so that no encoding can spoil it. Raises BrokenPipeError from
    :meth:`on_tick` when nobody reads any more: that is to end the conversation like a quit.
    """

    def __init__(self, stream: TextIO | None = None) -> None:
        self._stream = stream if stream is not None else sys.stdout

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()

    def on_tick(self, tick: Tick) -> None:
        """Write the events of this frame. Raises: BrokenPipeError."""
        for event in tick.events:
            record = json.dumps(event_to_dict(event), default=methodcaller("item"))  # of numpy
            self._stream.write(record + "\n")
        if tick.events:
            self._stream.flush()

    def close(self) -> None:
        """Nothing to give back: the stream is not ours."""
