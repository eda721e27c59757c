"""Tell the user's speech from other sounds, frame by frame."""

from __future__ import annotations

from collections import deque

import numpy as np

from audio_io.clock import FRAME, samples
from audio_io.levels import measure
from audio_io.signal import Audio, SpeechDetector
from model.engine import Frame
from model.hearing.first_sounds import FirstSounds
from model.hearing.level_gate import LevelGate
from model.hearing.open_turn import OpenTurn
from model.hearing.speech import SpeechTracker
from model.turns.turn_settings import TurnSettings

_BRIDGE_S = 0.1
"""Shorter gaps (stops, breaths) do not end a run of speech."""

_BLIP_S = 0.06
"""A shorter run of speech does not end a silence."""


class Hearing:
    """Finds the user's speech, and keeps the latest audio for a turn. All times are user
    samples."""

    def __init__(self, detector: SpeechDetector, s: TurnSettings) -> None:
        self._detector = detector
        self._gate = LevelGate()
        self._first_sounds = FirstSounds()
        self._speech = SpeechTracker(
            bridge=samples(min(_BRIDGE_S, s.speculate_after)), blip=samples(min(_BLIP_S, s.onset))
        )
        self._recent: deque[Audio] = deque()
        self._now = 0
        self._deaf_until = 0
        self._echo_until = 0
        self._echo_below = 0.0
        self.tune(s)

    def tune(self, s: TurnSettings) -> None:
        """Go by ``onset``, ``pre_roll`` and ``threshold`` of ``s`` from now on."""
        self._onset = samples(s.onset)
        self._recent = deque(self._recent, max(1, samples(s.pre_roll + s.onset) // FRAME))
        self._speech.threshold = s.threshold

    def warm_up(self) -> None:
        """Run the detector once."""
        self._detector.process(np.zeros(FRAME, np.float32))
        self._detector.reset()

    def hear(self, frame: Frame) -> bool:
        """Take in the next frame; return whether it is the user's speech."""
        self._now = frame.end
        probability = self._detector.process(frame.samples)
        if not self._gate.passes(frame.samples, self._speech.is_speech(probability)):
            probability = 0.0
        if self._now <= self._echo_until and measure(frame.samples).rms < self._echo_below:
            probability = 0.0
        self._recent.append(frame.samples)
        speech = self._speech.update(probability, frame.start, frame.end)
        self._first_sounds.take(frame.samples, speech=speech, user=self._gate.user)
        return speech

    @property
    def speech_began(self) -> bool:
        """Whether the present run of speech is long enough to count."""
        return self._speech.run_voiced >= self._onset

    @property
    def speech_may_begin(self) -> bool:
        """Whether speech may have begun just now: there is too little of it to tell."""
        return 0 < self.run < self._onset or self._first_sounds.may_be_speech

    @property
    def run(self) -> int:
        """Length of the present run of speech, 0 in a silence."""
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
        """End the run of speech; the next speech is a new one."""
        self._speech.forget()

    def deafen(self, duration: int) -> None:
        """Treat sound in the next ``duration`` samples as an echo."""
        self._deaf_until = self._now + duration

    def expect_echo(self, duration: int, below: float) -> None:
        """Treat sound below this level (dBFS) in the next ``duration`` samples as an echo."""
        self._echo_until, self._echo_below = self._now + duration, below

    def skip_echo(self) -> None:
        """Forget what was heard if it was an echo (see :meth:`deafen`)."""
        if self._now < self._deaf_until:
            self._speech.forget()
            self._recent.clear()

    def open_turn(self, number: int) -> OpenTurn:
        """Open turn ``number`` with the present run of speech, if there is one."""
        heard = self._speech.run_voiced
        return OpenTurn(
            number,
            start=self._speech.run_start if heard else self._now,
            end_of_speech=self._speech.last_voiced if heard else self._now,
            frames=self._recent,
            voiced=heard,
        )
