"""Simulate a user with recordings, who waits for replies or speaks over them."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from enum import StrEnum

import numpy as np

from audio_io.clock import FRAME, samples
from audio_io.ends import DeviceStatus
from audio_io.file_ends import Pacer
from audio_io.signal import Audio
from covo_cli.conversation.consumer import Tick
from model.events import ReplyStarted, StateChanged, TurnState

PATIENCE = 3.0
"""Seconds to wait for a reaction to a line before the next one."""

REST = 1.0
"""Seconds after a reply before a line that was meant to interrupt it."""


class StartRule(StrEnum):
    """What the start of a line is counted from."""

    AT = "at"
    """The start of the conversation."""
    AFTER_LINE = "after line"
    """The end of the previous line, whatever the assistant does."""
    DURING_REPLY = "during reply"
    """The start of a reply or the end of the previous line, whichever is later; only time in which
    the assistant is heard counts."""
    AFTER_REPLY = "after reply"
    """The moment from which no reply is playing or expected."""


@dataclass(frozen=True, slots=True)
class Start:
    """Start a line ``seconds`` after the moment of ``rule``. Raises: ValueError below 0."""

    rule: StartRule
    seconds: float

    def __post_init__(self) -> None:
        if not self.seconds >= 0:
            raise ValueError(f"a line cannot start after {self.seconds} s: give 0 or more")


@dataclass(frozen=True, slots=True)
class Line:
    """One thing to say: ``audio`` at 16 kHz, its words ``text``, and when to start."""

    audio: Audio = field(repr=False)
    text: str
    start: Start = Start(StartRule.AFTER_REPLY, REST)


class ScriptedUser:
    """A microphone that says ``lines`` by their start rules, and a consumer that hears replies.

    Lines may overlap. ``paced``: in real time, otherwise as fast as frames are read.
    """

    def __init__(
        self, lines: Sequence[Line], *, paced: bool, name: str = "a scripted user"
    ) -> None:
        self.lines = tuple(lines)
        # A stall is part of what is measured, however long it is.
        self._pacer = Pacer(catch_up=math.inf) if paced else None
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
        """Start and end of each line said, in user samples."""

    def start(self) -> None:
        """Do nothing: time counts from the first :meth:`read`."""

    def read(self, timeout: float) -> Audio | None:
        """Return the next frame; see :class:`audio_io.ends.Microphone`."""
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
        """Return whether no reply is playing or expected, or the last line had no effect."""
        unnoticed = not (self._noticed or self._hearing)
        waited = self._at - self._said >= samples(PATIENCE)
        return (unnoticed and waited) or self._resting_since is not None

    def on_tick(self, tick: Tick) -> None:
        """Follow the assistant's turns and replies."""
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
        """Start of the next frame, in user samples."""
        return self._at

    @property
    def heard(self) -> int:
        """How much of the current reply was heard since the last line, in user samples."""
        return self._heard if self._hearing else 0

    @property
    def all_said(self) -> bool:
        """Whether all lines have been said in full."""
        return self._next >= len(self.lines) and not len(self._saying)

    @property
    def exhausted(self) -> bool:
        """Whether all lines have been said and no reply is playing or expected."""
        return self.all_said and self._resting()

    @property
    def ended(self) -> bool:
        """Whether it is closed."""
        return self._closed

    @property
    def status(self) -> DeviceStatus:
        """Its name as the device."""
        return DeviceStatus(self._name)

    def close(self) -> None:
        """Stop. Safe to call twice."""
        self._closed = True
