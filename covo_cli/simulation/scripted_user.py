"""A user made of recordings, who waits for answers and speaks over them: for the demo, the
benchmarks and the evaluation.

It is a microphone (what it says) and a consumer (what it hears), so the conversation around it is
the same as with a person.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from enum import StrEnum

import numpy as np

from audio_io.clock import FRAME, samples
from audio_io.endpoints import EndpointStatus
from audio_io.pacer import Pacer
from audio_io.signal import Audio
from covo_cli.conversation.consumer import Tick
from model.events import ReplyStarted, StateChanged, TurnState

PATIENCE = 3.0
"""Seconds after a line without any sign that it was heard; then the next one follows."""

REST = 1.0
"""Seconds after a reply's end before a line that was to be said over it, but came too late."""


class StartRule(StrEnum):
    """What the time of a line is counted from."""

    AT = "at"
    """The beginning of the conversation."""
    AFTER_LINE = "after line"
    """The end of the line before, whatever the assistant does."""
    DURING_REPLY = "during reply"
    """The beginning of a reply, or the end of the line before if that was later. Only time in which
    the assistant is heard counts."""
    AFTER_REPLY = "after reply"
    """The moment from which nothing is under way: no reply, and none to be expected."""


@dataclass(frozen=True, slots=True)
class Start:
    """A line begins ``seconds`` after what ``rule`` says. Raises: ValueError below 0."""

    rule: StartRule
    seconds: float

    def __post_init__(self) -> None:
        if not self.seconds >= 0:
            raise ValueError(f"a line cannot start {self.seconds} s after something")


@dataclass(frozen=True, slots=True)
class Line:
    """Something to say: ``audio`` float32 mono 16 kHz, which says ``text``, from ``start`` on."""

    audio: Audio = field(repr=False)
    text: str
    start: Start = Start(StartRule.AFTER_REPLY, REST)


class ScriptedUser:
    """Says ``lines`` in their order, each once its start rule allows; lines may overlap.

    ``paced``: frames come in real time, otherwise as fast as they are read.
    """

    def __init__(
        self,
        lines: Sequence[Line],
        *,
        paced: bool,
        name: str = "a scripted user",
    ) -> None:
        self.lines = tuple(lines)
        self._pacer = Pacer() if paced else None
        self._name = name
        self._at = 0
        self._next = 0
        self._saying = np.zeros(0, np.float32)
        self._resting_since: int | None = 0
        self._said = 0
        self._noticed = True
        self._hearing = False
        self._heard = 0
        self._closed = False
        self.spoken: list[tuple[int, int]] = []
        """Where each line began and ended, in user samples."""

    def start(self) -> None:
        """Nothing to open: time counts from the first :meth:`read`."""

    def read(self, timeout: float) -> Audio | None:
        """The next frame (see :class:`audio_io.endpoints.Microphone`)."""
        if self._closed:
            return None
        if self._pacer is not None and not self._pacer.wait(timeout):
            return None
        while self._next < len(self.lines) and self._time_to_speak():
            self._begin(self.lines[self._next].audio)
        frame = np.zeros(FRAME, np.float32)
        piece = self._saying[:FRAME]
        frame[: len(piece)] = piece
        self._saying = self._saying[FRAME:]
        self._at += FRAME
        return frame

    def _begin(self, audio: Audio) -> None:
        self._next += 1
        self.spoken.append((self._at, self._at + len(audio)))
        self._said = max(self._said, self._at + len(audio))
        self._resting_since, self._noticed = None, False
        self._heard = 0
        longer = max(len(self._saying), len(audio))
        self._saying = np.pad(self._saying, (0, longer - len(self._saying)))
        self._saying[: len(audio)] += audio

    def _time_to_speak(self) -> bool:
        start = self.lines[self._next].start
        wait = samples(start.seconds)
        match start.rule:
            case StartRule.AT:
                return self._at >= wait
            case StartRule.AFTER_LINE:
                return self._at - self._said >= wait
            case StartRule.DURING_REPLY:
                if self._hearing:
                    return self._heard >= wait
                return self._rested(samples(REST))
            case StartRule.AFTER_REPLY:
                return self._rested(wait)

    def _rested(self, wait: int) -> bool:
        return self._resting() and self._at - (self._resting_since or 0) >= wait

    def _resting(self) -> bool:
        """Whether nothing is under way; also when nobody took notice of the last line."""
        unnoticed = not (self._noticed or self._hearing)
        if unnoticed and self._at - self._said >= samples(PATIENCE):
            return True
        return self._resting_since is not None

    def on_tick(self, tick: Tick) -> None:
        """Listen."""
        for event in tick.events:
            match event:
                case ReplyStarted():
                    self._hearing, self._heard = True, 0
                case StateChanged(state=TurnState.LISTENING | TurnState.MUTED):
                    self._resting_since = self._at
                    self._hearing = False
                case StateChanged(state=TurnState.INTERRUPTED):
                    self._hearing = False
                case StateChanged(state=TurnState.USER_SPEAKING):
                    self._resting_since, self._noticed = None, True
        if self._hearing and self._at > self._said and tick.assistant.any():
            self._heard += FRAME

    @property
    def at(self) -> int:
        """The time of the next frame, in user samples."""
        return self._at

    @property
    def heard(self) -> int:
        """How much of the reply under way was heard since the last line, in user samples."""
        return self._heard if self._hearing else 0

    @property
    def all_said(self) -> bool:
        """Whether every line has been said to its end."""
        return self._next >= len(self.lines) and not len(self._saying)

    @property
    def exhausted(self) -> bool:
        """Whether everything has been said, and what followed has come to an end."""
        return self.all_said and self._resting()

    @property
    def ended(self) -> bool:
        """Whether it was closed."""
        return self._closed

    @property
    def status(self) -> EndpointStatus:
        """Its name."""
        return EndpointStatus(self._name)

    def close(self) -> None:
        """Stop. Safe to call twice."""
        self._closed = True
