"""How loud a sound is, in dB below full scale (dBFS): 0 is a sample of 1.0."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from audio_io.endpoints import MIC_FRAME, Audio

_QUIET = 40.0

FLOOR = -96.0
"""The lowest level that is told apart from silence, in dBFS: one step of 16-bit sound."""


@dataclass(frozen=True, slots=True)
class Level:
    """The highest sample and the root mean square of a block, both in dBFS."""

    peak: float = FLOOR
    rms: float = FLOOR


def to_db(amplitude: float) -> float:
    """``amplitude`` (1.0 is full scale) in dBFS, not below :data:`FLOOR`."""
    return max(FLOOR, 20.0 * math.log10(amplitude)) if amplitude > 0.0 else FLOOR


def from_db(level: float) -> float:
    """The factor that is ``level`` dB."""
    return float(10.0 ** (level / 20.0))


def measure(samples: Audio) -> Level:
    """The level of a block of any length; an empty block is silence."""
    if len(samples) == 0:
        return Level()
    peak = float(np.max(np.abs(samples)))
    rms = math.sqrt(float(np.mean(np.square(samples, dtype=np.float64))))
    return Level(to_db(peak), to_db(rms))


def at_level(samples: Audio, level: float) -> Audio:
    """``samples`` (16 kHz) scaled so that its loudest half, by blocks of 20 ms, has this RMS level
    in dBFS: pauses do not count."""
    blocks = samples[: len(samples) // MIC_FRAME * MIC_FRAME].reshape(-1, MIC_FRAME)
    power = np.sort(np.mean(blocks**2, axis=1))[len(blocks) // 2 :]
    gain = from_db(level) / math.sqrt(float(power.mean()))
    return np.asarray(samples * gain, dtype=np.float32)


def span_of_sound(samples: Audio) -> tuple[int, int]:
    """Where the sound in ``samples`` begins and ends: its first sample that is less than 40 dB
    below the peak, and the one after the last."""
    loud = np.flatnonzero(np.abs(samples) > np.max(np.abs(samples)) * from_db(-_QUIET))
    return int(loud[0]), int(loud[-1]) + 1


class Meter:
    """A level for the eye: rises at once, falls back by ``decay`` dB a second.

    ``rate`` is the sample rate of the blocks, in Hz, and the only clock.
    """

    def __init__(self, rate: int, decay: float = 40.0) -> None:
        self._rate = rate
        self._decay = decay
        self._level = Level()

    @property
    def level(self) -> Level:
        """What the meter shows."""
        return self._level

    def update(self, samples: Audio) -> Level:
        """Take in the next block; return what the meter shows now."""
        fall = self._decay * len(samples) / self._rate
        now = measure(samples)
        self._level = Level(
            peak=max(now.peak, self._level.peak - fall, FLOOR),
            rms=max(now.rms, self._level.rms - fall, FLOOR),
        )
        return self._level
