"""What happened in a conversation, from what it left: its replies as they were really heard.

A reply is heard from its first audible sample in ``output.wav`` to its last one before it was cut
off, ended, or the next reply began. All times are in user samples.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from itertools import zip_longest
from pathlib import Path
from typing import TypeVar

import numpy as np

from audio_io.clock import FRAME, USER_RATE, seconds
from audio_io.files import read_audio
from audio_io.levels import from_db
from audio_io.signal import Audio
from covo_cli.evaluation.running.conversation import OUTPUT, Annotation, read_annotation
from covo_cli.sessions.event_log import read_events
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

AUDIBLE = -55.0
"""dBFS (RMS of 10 ms) from which the assistant is heard: a ducked reply is at about -32."""

_BLOCK = USER_RATE // 100

TAKEOVER_SECONDS, TAKEOVER_WORDS = 1.0, 3
"""Full-Duplex-Bench v1: shorter speech with no more words is no takeover."""

E = TypeVar("E", bound=Event)
Listen = Callable[[Audio], str]
"""Recognises what the assistant said: float32 mono 16 kHz in, text out."""


@dataclass(frozen=True, slots=True)
class HeardReply:
    """Reply ``number`` to turn ``turn``, let through at ``started``; heard from ``first`` to
    ``last`` (None: never). ``committed``: when the turn was taken to be over, ``interrupted`` and
    ``finished``: when it was cut off or ended; None: it was not. ``words``: how many were
    recognised in what was heard; None: it was too long for that to matter.
    """

    number: int
    turn: int
    started: int
    first: int | None
    last: int | None
    committed: int | None
    interrupted: int | None
    finished: int | None
    words: int | None

    @property
    def takes_over(self) -> bool:
        """Whether it takes the turn, by Full-Duplex-Bench's rule."""
        if self.first is None or self.last is None or self.words == 0:
            return False
        if seconds(self.last - self.first) >= TAKEOVER_SECONDS:
            return True
        return (self.words or 0) > TAKEOVER_WORDS

    def playing(self, at: int) -> bool:
        """Whether it was being heard at time ``at``."""
        over = self.interrupted if self.interrupted is not None else self.finished
        return self.first is not None and self.first <= at and (over is None or at < over)


@dataclass(frozen=True, slots=True)
class Evidence:
    """One conversation: what was said to the assistant, and what it did.

    ``audible``: for each 10 ms of the output, whether something was heard.
    """

    annotation: Annotation
    events: tuple[Event, ...]
    replies: tuple[HeardReply, ...]
    audible: Sequence[bool] = field(repr=False)

    def of(self, kind: type[E]) -> Iterator[E]:
        """The events of one kind, in order."""
        return (event for event in self.events if isinstance(event, kind))

    def audible_seconds(self, start: int, end: int) -> float:
        """For how long something was heard from ``start`` to ``end``."""
        return sum(self.audible[start // _BLOCK : end // _BLOCK]) * _BLOCK / USER_RATE


def gather(folder: Path, listen: Listen, *, to_all: bool) -> Evidence:
    """What the conversation in ``folder`` left.

    ``listen`` recognises the replies of less than a second, on which the words decide; with
    ``to_all`` every reply, so that long sounds without a word are no takeover either.
    Raises: EvaluationError, AudioFileError, what ``listen`` raises.
    """
    annotation = read_annotation(folder)
    events = read_events(folder).events
    output = read_audio(folder / OUTPUT, USER_RATE)
    audible = audible_blocks(output)
    replies = tuple(_replies(events, output, audible, listen, to_all))
    return Evidence(annotation, events, replies, audible)


def audible_blocks(output: Audio) -> list[bool]:
    """For each whole 10 ms of ``output`` (16 kHz), whether it is louder than :data:`AUDIBLE`."""
    blocks = output[: len(output) // _BLOCK * _BLOCK].reshape(-1, _BLOCK)
    power = np.mean(np.square(blocks, dtype=np.float64), axis=1)
    return [bool(loud) for loud in power > from_db(AUDIBLE) ** 2]


def _replies(
    events: Sequence[Event], output: Audio, audible: Sequence[bool], listen: Listen, to_all: bool
) -> Iterator[HeardReply]:
    starts = [event for event in events if isinstance(event, ReplyStarted)]
    for start, following in zip_longest(starts, starts[1:]):
        cut = next((e.at for e in _of(events, Interrupted) if e.reply == start.reply), None)
        played = next((e.at for e in _of(events, ReplyFinished) if e.reply == start.reply), None)
        # What follows its end is not its own: the next reply's first samples ring ahead of it.
        over = [at + FRAME for at in (cut, played) if at is not None]
        end = min([*over, following.at - FRAME if following else len(output)])
        blocks = range(start.at // _BLOCK, min(end // _BLOCK, len(audible)))
        loud = [block for block in blocks if audible[block]]
        first = loud[0] * _BLOCK if loud else None
        last = (loud[-1] + 1) * _BLOCK if loud else None
        words = None
        if first is None or last is None:
            words = 0
        elif to_all or seconds(last - first) < TAKEOVER_SECONDS:
            words = len(listen(output[max(0, first - FRAME) : last + FRAME]).split())
        committed = _committed(events, start.at)
        yield HeardReply(
            start.reply, start.turn, start.at, first, last, committed, cut, played, words
        )


def _committed(events: Sequence[Event], started: int) -> int | None:
    """When the engine last took the turn to be over, before the reply that started then."""
    times = [
        event.at
        for event in _of(events, StateChanged)
        if event.state is TurnState.THINKING and event.at <= started
    ]
    return times[-1] if times else None


def _of(events: Sequence[Event], kind: type[E]) -> Iterator[E]:
    return (event for event in events if isinstance(event, kind))


def transcripts(evidence: Evidence) -> dict[int, UserTranscript]:
    """What the engine took the user to have said, by the number of the turn that it answered."""
    return {event.turn: event for event in evidence.of(UserTranscript) if event.final}


def controls(evidence: Evidence, start: int, end: int) -> list[PlaybackControl]:
    """What the speaker was asked to do from ``start`` to ``end``."""
    return [event for event in evidence.of(PlaybackControl) if start <= event.at <= end]
