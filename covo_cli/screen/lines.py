"""The screen of whatever is not a terminal: one plain line for each thing that is finished."""

from __future__ import annotations

import sys
from types import TracebackType
from typing import Self, TextIO

from audio_io.clock import ASSISTANT_RATE, seconds
from covo_cli.conversation.consumer import Tick
from covo_cli.process.text import clean
from covo_cli.screen.view import ConversationInfo
from covo_cli.screen.words import clock, latency_line
from model.events import (
    EndpointJudged,
    Event,
    Interrupted,
    Notice,
    PlaybackAction,
    PlaybackControl,
    ReplyFinished,
    TurnDiscarded,
    TurnLatency,
    UserTranscript,
    VoiceChanged,
)


class LinesScreen:
    """Writes lines such as ``[00:03.2] you: ...`` to ``stream`` (stdout), each at once.

    Remarks begin with ``--``. The time is when a thing was finished. Raises BrokenPipeError from
    :meth:`on_tick` when nobody reads any more: that is to end the conversation like a quit.
    """

    def __init__(self, info: ConversationInfo, stream: TextIO | None = None) -> None:
        self._info = info
        self._stream = stream if stream is not None else sys.stdout
        self._endpoints = {"microphone": "", "speaker": ""}
        self._muted = False

    def __enter__(self) -> Self:
        info = self._info
        kept = f"recording to {info.recording}" if info.recording else "not recording"
        facts = (
            f"engine {info.engine}",
            f"voice {info.voice}",
            f"microphone {info.microphone}",
            f"speaker {info.speaker}",
            kept,
        )
        self._write(0, "-- " + ", ".join(facts))
        return self

    def __exit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()

    def on_tick(self, tick: Tick) -> None:
        """Write what was finished in this frame. Raises: BrokenPipeError."""
        for event in tick.events:
            for line in _lines(event):
                self._write(event.at, line)
        if tick.muted != self._muted:
            self._muted = tick.muted
            self._write(tick.at, "-- muted" if tick.muted else "-- unmuted")
        for name, message in (("microphone", tick.microphone), ("speaker", tick.speaker)):
            if message != self._endpoints[name]:
                self._endpoints[name] = message
                self._write(tick.at, f"-- {name}: {message or 'well again'}")

    def close(self) -> None:
        """Nothing to give back: the stream is not ours."""

    def _write(self, at: int, line: str) -> None:
        encoding = getattr(self._stream, "encoding", None) or "utf-8"
        text = f"[{clock(at)}] {clean(line)}".encode(encoding, "replace").decode(encoding)
        self._stream.write(text + "\n")
        self._stream.flush()


def _lines(event: Event) -> list[str]:
    lines: list[str] = []
    match event:
        case UserTranscript(final=True):
            lines = [f"you: {event.text}"]
        case ReplyFinished():
            lines = [f"covo: {event.text}"]
        case Interrupted():
            after = seconds(event.heard_samples, ASSISTANT_RATE)
            rest = f"; not heard: {event.unheard}" if event.unheard.strip() else ""
            said = [f"covo: {event.heard}"] if event.heard.strip() else []
            lines = [*said, f"-- interrupted after {after:.1f} s ({event.reason}){rest}"]
        case TurnLatency():
            lines = [f"-- answered after {latency_line(event)}"]
        case EndpointJudged(over=False):
            lines = [f"-- waiting for you: {event.reason}"]
        case PlaybackControl(action=PlaybackAction.HOLD):
            lines = [f"-- covo waits: {event.reason}"]
        case PlaybackControl(action=PlaybackAction.RESUME):
            lines = [f"-- covo goes on: {event.reason}"]
        case TurnDiscarded():
            lines = [f"-- not taken as a turn: {event.reason}"]
        case VoiceChanged():
            lines = [f"-- voice: {event.voice}"]
        case Notice():
            lines = [f"-- {event.level}: {event.text}"]
    return lines
