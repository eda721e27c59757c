"""The user's side of turn taking: frames in; speech, silence and what was said out."""

from __future__ import annotations

from collections import deque

import numpy as np

from audio_io.clock import FRAME, samples
from audio_io.signal import Audio, SpeechDetector
from model.engine import Frame
from model.hearing.level_gate import LevelGate
from model.hearing.open_turn import OpenTurn
from model.hearing.speech import SpeechTracker
from model.turns.turn_settings import TurnSettings

_BRIDGE = 0.1
"""Seconds: shorter gaps (stops, breaths) do not end a run of speech."""

_BLIP = 0.06
"""Seconds: a shorter run of speech does not end a silence."""


class Hearing:
    """Tells the user's speech from the rest, and keeps the last moments for a turn that begins.

    All times are user samples.
    """

    def __init__(self, detector: SpeechDetector, s: TurnSettings) -> None:
        self._detector = detector
        self._gate = LevelGate()
        self._speech = SpeechTracker(
            bridge=samples(min(_BRIDGE, s.speculate_after)), blip=samples(min(_BLIP, s.onset))
        )
        self._onset = samples(s.onset)
        self._recent: deque[Audio] = deque(maxlen=max(1, samples(s.pre_roll + s.onset) // FRAME))
        self._now = 0
        self._deaf_until = 0

    def warm_up(self) -> None:
        """Run the detector once."""
        self._detector.process(np.zeros(FRAME, np.float32))
        self._detector.reset()

    def hear(self, frame: Frame) -> bool:
        """Take in the next frame; whether it is the user's speech."""
        self._now = frame.end
        probability = self._detector.process(frame.samples)
        if not self._gate.passes(frame.samples, self._speech.is_speech(probability)):
            probability = 0.0
        self._recent.append(frame.samples)
        return self._speech.update(probability, frame.start, frame.end)

    @property
    def speech_began(self) -> bool:
        """Whether there is speech now that has lasted long enough to be some."""
        return self._speech.run_voiced >= self._onset

    @property
    def run(self) -> int:
        """How much speech there was without a break up to now."""
        return self._speech.run_voiced

    @property
    def silence(self) -> int:
        """Samples since the last speech."""
        return self._speech.silence(self._now)

    @property
    def last_speech(self) -> int:
        """When the last speech ended."""
        return self._speech.last_voiced

    def forget(self) -> None:
        """Let the next speech be a new run."""
        self._speech.forget()

    def deafen(self, duration: int) -> None:
        """Do not listen for ``duration`` samples: what sounds then is an echo."""
        self._deaf_until = self._now + duration

    def skip_echo(self) -> None:
        """Forget what was heard while not listening."""
        if self._now < self._deaf_until:
            self._speech.forget()
            self._recent.clear()

    def open_turn(self, number: int) -> OpenTurn:
        """Turn ``number``, with the speech that has begun just now, if there is any."""
        heard = self._speech.run_voiced
        return OpenTurn(
            number,
            start=self._speech.run_start if heard else self._now,
            end_of_speech=self._speech.last_voiced if heard else self._now,
            frames=self._recent,
            voiced=heard,
        )
