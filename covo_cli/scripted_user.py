"""A user made of recordings, who waits for answers and interrupts: for the demo and the benchmarks.

It is a microphone (what it says) and a consumer (what it hears), so the conversation around it is
the same as with a person.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import numpy as np

from audio_io.endpoints import MIC_FRAME, EndpointStatus
from covo_cli.consumer import Audio, Tick
from model.clock import samples, seconds
from model.events import ReplyStarted, StateChanged, TurnState

PATIENCE = 3.0
"""Seconds after a line without any sign that it was heard; then the next one follows."""


@dataclass(frozen=True, slots=True)
class Line:
    """Something to say: ``audio`` float32 mono 16 kHz, which says ``text``.

    ``over``: seconds of a reply to listen to before speaking over it; None: wait for its end.
    """

    audio: Audio = field(repr=False)
    text: str
    over: float | None = None


class ScriptedUser:
    """Says ``lines`` one after the other, each ``pause`` seconds after the last reply ended.

    ``paced``: frames come in real time, otherwise as fast as they are read.
    """

    def __init__(
        self,
        lines: Sequence[Line],
        *,
        paced: bool,
        pause: float = 1.0,
        name: str = "a scripted user",
        clock: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        self._lines = list(lines)
        self._paced = paced
        self._pause = samples(pause)
        self._name = name
        self._clock = clock
        self._sleep = sleep
        self._began: float | None = None
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
        if self._paced:
            now = self._clock()
            if self._began is None:
                self._began = now
            wait = self._began + seconds(self._at + MIC_FRAME) - now
            if wait > 0:
                self._sleep(min(wait, timeout))
                if wait > timeout:
                    return None
        if not len(self._saying) and self._time_to_speak():
            self._saying = self._lines[self._next].audio
            self.spoken.append((self._at, self._at + len(self._saying)))
            self._next += 1
            self._said = self.spoken[-1][1]
            self._resting_since, self._noticed = None, False
            self._hearing, self._heard = False, 0
        frame = np.zeros(MIC_FRAME, np.float32)
        piece = self._saying[:MIC_FRAME]
        frame[: len(piece)] = piece
        self._saying = self._saying[MIC_FRAME:]
        self._at += MIC_FRAME
        return frame

    def _time_to_speak(self) -> bool:
        if self._next >= len(self._lines):
            return False
        over = self._lines[self._next].over
        if over is not None and self._hearing:
            return self._heard >= samples(over)
        return self._resting() and self._at - (self._resting_since or 0) >= self._pause

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
                case StateChanged(state=TurnState.USER_SPEAKING):
                    self._resting_since, self._noticed = None, True
        if self._hearing and tick.assistant.any():
            self._heard += MIC_FRAME

    @property
    def exhausted(self) -> bool:
        """Whether everything has been said, and what followed has come to an end."""
        return self._next >= len(self._lines) and not len(self._saying) and self._resting()

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
