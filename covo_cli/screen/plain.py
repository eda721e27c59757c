"""Screens without a terminal: plain lines for people, JSON for programs."""

from __future__ import annotations

import errno
import sys
from collections.abc import Iterator
from contextlib import suppress
from queue import Full, Queue
from typing import Self, TextIO

from audio_io.clock import ASSISTANT_RATE, seconds
from audio_io.worker import Worker, join_all
from covo_cli.conversation.consumer import Tick
from covo_cli.errors import CliError, OutputClosed
from covo_cli.process.text import clean
from covo_cli.screen.view import ConversationInfo
from covo_cli.screen.words import clock, latency_line
from covo_cli.sessions.event_log import encode_events
from covo_cli.sessions.transcript import NAMES, Who
from model.events import (
    Backchannel,
    EndpointJudged,
    Event,
    Interrupted,
    Notice,
    PlaybackAction,
    PlaybackControl,
    ReplyFinished,
    TimerRang,
    ToolAnswered,
    ToolCalled,
    ToolOutcome,
    TurnDiscarded,
    TurnLatency,
    UserTranscript,
    VoiceChanged,
)

USER, ASSISTANT, TOOL = (NAMES[who].lower() for who in Who)

_PLAYBACK = {PlaybackAction.HOLD: "pauses", PlaybackAction.RESUME: "goes on"}

MOST_SHOWN = 200
"""Characters of a tool's result in a line."""

MOST_WAITING = 3_000
"""Texts that may wait for a reader: at least 60 s of a conversation."""

CLOSE_LIMIT_S = 0.7
"""How long closing waits for the reader to take what is left; see :mod:`.live` for the figure."""

_STALLED = "the reader of the output takes nothing"


class _StreamScreen:
    """A screen on ``stream`` (default: stdout), which stays open.

    In ``real_time`` a thread of its own writes while the screen is entered, so that the
    conversation does not wait for a slow reader. Once :data:`MOST_WAITING` texts wait, the output
    counts as closed.
    """

    def __init__(self, stream: TextIO | None = None, *, real_time: bool = False) -> None:
        self._stream = stream if stream is not None else sys.stdout
        self._waiting: Queue[str | None] = Queue(MOST_WAITING)
        self._writer = Worker(self._write_waiting, "output") if real_time else None
        self._failure: OSError | OutputClosed | None = None

    def __enter__(self) -> Self:
        if self._writer is not None:
            self._writer.start()
        return self

    def __exit__(self, kind: object, error: object, traceback: object) -> None:
        """Write what is left. Raises: CliError if nobody takes it, so that it is lost; OSError.

        A reader that has gone wants nothing more.
        """
        if self._writer is None:
            return
        with suppress(Full):  # then it is stuck
            self._waiting.put_nowait(None)
        stalled = join_all([self._writer], CLOSE_LIMIT_S)
        if error is not None:
            return
        if stalled:
            raise CliError(f"{_STALLED}: what was left to write is lost")
        if isinstance(self._failure, OSError):
            raise self._failure

    def release(self) -> None:
        """Do nothing: lines stay as they are."""

    def take(self) -> None:
        """Do nothing."""

    def _write(self, text: str) -> None:
        if self._writer is None:
            self._write_now(text)
            return
        if self._failure is not None:
            raise self._failure
        try:
            self._waiting.put_nowait(text)
        except Full:
            raise OutputClosed(_STALLED) from None

    def _write_waiting(self) -> None:
        try:
            while (text := self._waiting.get()) is not None:
                self._write_now(text)
        except (OSError, OutputClosed) as error:
            self._failure = error

    def _write_now(self, text: str) -> None:
        try:
            self._stream.write(text)
            self._stream.flush()
        except OSError as error:
            ours = self._stream in (sys.stdout, sys.__stdout__)
            if error.errno == errno.EPIPE or (error.errno == errno.EIO and ours):
                raise OutputClosed("the reader of the output has gone") from error
            raise  # such as EIO of a file's disk


class JsonScreen(_StreamScreen):
    """Writes every event as one line of JSON, in ASCII, which is safe in any encoding."""

    def on_tick(self, tick: Tick) -> None:
        """Write the events of one frame. Raises: OutputClosed."""
        if tick.events:
            self._write(encode_events(tick.events, ascii_only=True))


class LinesScreen(_StreamScreen):
    """Writes lines such as ``[00:03.2] you: ...``, timed by their end; ``--`` begins a remark."""

    def __init__(
        self, info: ConversationInfo, stream: TextIO | None = None, *, real_time: bool = False
    ) -> None:
        super().__init__(stream, real_time=real_time)
        self._info = info
        self._devices = {"microphone": "", "speaker": ""}
        self._muted = False

    def __enter__(self) -> Self:
        super().__enter__()
        info = self._info
        kept = f"recording to {info.recording}" if info.recording else "not recording"
        devices = f"microphone {info.microphone}, speaker {info.speaker}"
        self.line(0, f"-- engine {info.engine}, voice {info.voice}, {devices}, {kept}")
        return self

    def on_tick(self, tick: Tick) -> None:
        """Write what was finished in one frame. Raises: OutputClosed."""
        for event in tick.events:
            for line in _lines(event):
                self.line(event.at, line)
        if tick.muted != self._muted:
            self._muted = tick.muted
            self.line(tick.at, "-- muted" if tick.muted else "-- unmuted")
        for name, message in (("microphone", tick.microphone), ("speaker", tick.speaker)):
            if message != self._devices[name]:
                self._devices[name] = message
                self.line(tick.at, f"-- {name}: {message or 'recovered'}")

    def line(self, at: int, text: str) -> None:
        """Write one line with the time ``at``, in user samples. Raises: OutputClosed."""
        encoding = getattr(self._stream, "encoding", None) or "utf-8"
        shown = f"[{clock(at)}] {clean(text)}".encode(encoding, "replace").decode(encoding)
        self._write(shown + "\n")


def _lines(event: Event) -> Iterator[str]:
    match event:
        case UserTranscript(final=True):
            yield f"{USER}: {event.text}"
        case Backchannel():
            yield f"{ASSISTANT}: ({event.text})"
        case ToolCalled() | ToolAnswered() | TimerRang(ring=1):
            yield _of_tool(event)
        case ReplyFinished():
            yield f"{ASSISTANT}: {event.text}"
        case Interrupted():
            after = seconds(event.heard_samples, ASSISTANT_RATE)
            rest = f"; not heard: {event.unheard}" if event.unheard.strip() else ""
            if event.heard.strip():
                yield f"{ASSISTANT}: {event.heard}"
            yield f"-- interrupted after {after:.1f} s ({event.reason}){rest}"
        case TurnLatency():
            yield f"-- answered after {latency_line(event)}"
        case EndpointJudged(over=False):
            yield f"-- waiting for you: {event.reason}"
        case PlaybackControl(action=action) if action in _PLAYBACK:
            yield f"-- covo {_PLAYBACK[action]}: {event.reason}"
        case TurnDiscarded():
            yield f"-- not a turn: {event.reason}"
        case VoiceChanged():
            yield f"-- voice: {event.voice}"
        case Notice():
            yield f"-- {event.level}: {event.text}"


def _of_tool(event: ToolCalled | ToolAnswered | TimerRang) -> str:
    if isinstance(event, TimerRang):
        return f"{TOOL}: timer rings: {event.name}"
    if isinstance(event, ToolCalled):
        return f"{TOOL}: {event.tool} {event.arguments}".rstrip()
    end = "" if event.outcome is ToolOutcome.DONE else event.outcome.value
    told = clean(": ".join(filter(None, (end, event.result))))
    shown = told if len(told) <= MOST_SHOWN else f"{told[:MOST_SHOWN]} ..."
    return f"{TOOL}: {event.tool}: {shown}"
