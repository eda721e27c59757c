"""Read what happened in a conversation from its folder.

A reply is heard from its first audible sample in ``output.wav`` to the last one before it was cut
off, ended, or the next reply began. Backchannels do not count as sound. All times are in user
samples.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from itertools import zip_longest
from pathlib import Path
from typing import TypeVar

import numpy as np

from audio_io.clock import ASSISTANT_RATE, FRAME, USER_RATE, samples, seconds
from audio_io.files import read_audio
from audio_io.levels import from_db
from audio_io.signal import Audio
from covo_cli.evaluation.running.conversation import OUTPUT, Annotation, read_annotation
from covo_cli.sessions.event_log import RecordedBackchannel, read_events
from model.events import (
    Event,
    Interrupted,
    PlaybackControl,
    ReplyFinished,
    ReplyStarted,
    StateChanged,
    TurnState,
    UserTranscript,
)

AUDIBLE_DB = -55.0
"""Level (dBFS, RMS of 10 ms) above which the assistant is heard; a ducked reply is at about -32."""

_BLOCK = USER_RATE // 100

TAKEOVER_SECONDS, TAKEOVER_WORDS = 1.0, 3
"""Full-Duplex-Bench v1: a shorter reply with at most this many words is not a takeover."""

E = TypeVar("E", bound=Event)
Listen = Callable[[Audio], str]
"""Transcribes the assistant's speech (float32 mono 16 kHz)."""


@dataclass(frozen=True, slots=True)
class HeardReply:
    """Reply ``number`` to turn ``turn``, started at ``started``.

    ``first``, ``last``: when it was heard; equal if it never was. ``committed``: when the engine
    decided that the turn was over. ``interrupted``, ``finished``: when the reply was cut off or
    ended. ``words``: how many were recognised (None: not needed for a long reply).
    """

    number: int
    turn: int
    started: int
    first: int
    last: int
    committed: int | None
    interrupted: int | None
    finished: int | None
    words: int | None

    @property
    def heard(self) -> bool:
        """Whether any of its sound was heard."""
        return self.first < self.last

    @property
    def takes_over(self) -> bool:
        """Whether it takes the turn under Full-Duplex-Bench's rule."""
        if not self.heard or self.words == 0:
            return False
        long = seconds(self.last - self.first) >= TAKEOVER_SECONDS
        return long or (self.words or 0) > TAKEOVER_WORDS

    def playing(self, at: int) -> bool:
        """Return whether it was playing at ``at``."""
        over = self.interrupted if self.interrupted is not None else self.finished
        return self.heard and self.first <= at and (over is None or at < over)


@dataclass(frozen=True, slots=True)
class Evidence:
    """What the user said and the assistant did. ``audible``: for each 10 ms of the output."""

    annotation: Annotation
    events: tuple[Event, ...]
    replies: tuple[HeardReply, ...]
    audible: Sequence[bool] = field(repr=False)

    @property
    def heard(self) -> list[HeardReply]:
        """The audible replies."""
        return [reply for reply in self.replies if reply.heard]

    @property
    def takeovers(self) -> list[HeardReply]:
        """The replies that took the turn."""
        return [reply for reply in self.replies if reply.takes_over]

    @property
    def transcripts(self) -> dict[int, UserTranscript]:
        """The final transcripts by turn number."""
        return {event.turn: event for event in self.of(UserTranscript) if event.final}

    def of(self, kind: type[E]) -> Iterator[E]:
        """Yield the events of one kind, in order."""
        return _of(self.events, kind)

    def controls(self, start: int, end: int) -> list[PlaybackControl]:
        """Return the commands to the speaker from ``start`` to ``end``."""
        return [event for event in self.of(PlaybackControl) if start <= event.at <= end]

    def playing(self, at: int) -> HeardReply | None:
        """Return the reply playing at ``at``, if any."""
        return next((reply for reply in self.replies if reply.playing(at)), None)

    def audible_seconds(self, start: int, end: int) -> float:
        """Return the seconds of audible output from ``start`` to ``end``."""
        return sum(self.audible[start // _BLOCK : end // _BLOCK]) * _BLOCK / USER_RATE


def gather(folder: Path, listen: Listen, *, to_all: bool) -> Evidence:
    """Read the conversation in ``folder``.

    ``listen`` transcribes replies under a second, whose words decide whether they take over. With
    ``to_all`` it transcribes every reply, so that a long sound without words is no takeover.
    Raises: EvaluationError, AudioFileError, the errors of ``listen``.
    """
    annotation = read_annotation(folder)
    events = read_events(folder).events
    output = read_audio(folder / OUTPUT, USER_RATE)
    for hum in _of(events, RecordedBackchannel):
        silence = slice(hum.at, hum.at + samples(seconds(hum.samples, ASSISTANT_RATE)) + FRAME)
        output[silence] = 0.0
    audible = audible_blocks(output)
    replies = tuple(_replies(events, output, audible, listen, to_all))
    return Evidence(annotation, events, replies, audible)


def audible_blocks(output: Audio) -> list[bool]:
    """Return whether each whole 10 ms of ``output`` (16 kHz) is above AUDIBLE_DB."""
    blocks = output[: len(output) // _BLOCK * _BLOCK].reshape(-1, _BLOCK)
    power = np.mean(np.square(blocks, dtype=np.float64), axis=1)
    return [bool(loud) for loud in power > from_db(AUDIBLE_DB) ** 2]


def _replies(
    events: Sequence[Event], output: Audio, audible: Sequence[bool], listen: Listen, to_all: bool
) -> Iterator[HeardReply]:
    cuts = {event.reply: event.at for event in reversed([*_of(events, Interrupted)])}
    ends = {event.reply: event.at for event in reversed([*_of(events, ReplyFinished)])}
    turns_over = [e.at for e in _of(events, StateChanged) if e.state is TurnState.THINKING]
    starts = [*_of(events, ReplyStarted)]
    for start, following in zip_longest(starts, starts[1:]):
        cut, finished = cuts.get(start.reply), ends.get(start.reply)
        # Include the fade-out (one frame). The next reply may sound one frame before its event.
        faded = [at + FRAME for at in (cut, finished) if at is not None]
        end = min([*faded, following.at - FRAME if following else len(output)])
        blocks = range(start.at // _BLOCK, min(end // _BLOCK, len(audible)))
        loud = [block for block in blocks if audible[block]]
        first, last, words = start.at, start.at, None
        if loud:
            first, last = loud[0] * _BLOCK, (loud[-1] + 1) * _BLOCK
            if to_all or seconds(last - first) < TAKEOVER_SECONDS:
                words = len(listen(output[max(0, first - FRAME) : last + FRAME]).split())
        committed = next((at for at in reversed(turns_over) if at <= start.at), None)
        yield HeardReply(
            start.reply, start.turn, start.at, first, last, committed, cut, finished, words
        )


def _of(events: Iterable[Event], kind: type[E]) -> Iterator[E]:
    return (event for event in events if isinstance(event, kind))
