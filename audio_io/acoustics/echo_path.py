"""Simulate a loudspeaker heard by a microphone, to test and measure echo cancellation."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from audio_io.clock import USER_RATE
from audio_io.levels import from_db
from audio_io.signal import Audio


class EchoPath:
    """The path from loudspeaker to microphone: a delay, then a room.

    ``rt60`` is the time in s in which the reverberation falls by 60 dB, ``gain_db`` the level of
    white noise's echo against what was played. ``seed`` picks the room: Gaussian noise under an
    exponential decay (Polack's model), in total 6 dB below the direct sound.
    """

    def __init__(
        self, delay_s: float = 0.08, rt60: float = 0.3, gain_db: float = -6.0, seed: int = 0
    ) -> None:
        if delay_s < 0 or rt60 < 0:
            raise ValueError("an echo's delay and reverberation time cannot be negative")
        tail_length = max(1, round(rt60 * USER_RATE))
        time = np.arange(tail_length) / USER_RATE
        decay = np.exp(-np.log(1000.0) * time / rt60) if rt60 > 0 else np.zeros(tail_length)
        tail = np.random.default_rng(seed).standard_normal(tail_length) * decay
        tail[0] = 0.0
        energy = float(np.sum(tail**2))
        if energy > 0:
            tail *= 0.5 / np.sqrt(energy)
        tail[0] = 1.0
        tail *= from_db(gain_db) / np.sqrt(float(np.sum(tail**2)))
        self.response: NDArray[np.float64] = np.concatenate(
            [np.zeros(round(delay_s * USER_RATE)), tail]
        )
        """The impulse response, at 16 kHz."""
        self._carry = np.zeros(len(self.response) - 1)
        self._spectrum = np.zeros(0, np.complex128)

    def process(self, far: Audio) -> Audio:
        """Return the echo of the next block played: float32 of the same length, 16 kHz."""
        n = len(far) + len(self.response) - 1
        size = 1 << (n - 1).bit_length()
        if len(self._spectrum) != size // 2 + 1:
            self._spectrum = np.fft.rfft(self.response, size)
        wet = np.fft.irfft(np.fft.rfft(far, size) * self._spectrum, size)[:n]
        wet[: len(self._carry)] += self._carry
        self._carry = wet[len(far) :]
        return np.asarray(wet[: len(far)], dtype=np.float32)
