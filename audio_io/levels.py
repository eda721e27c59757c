"""Levels of sound in dB below full scale (dBFS), where 0 is a sample of 1.0."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from audio_io.clock import FRAME
from audio_io.signal import Audio

_QUIET_DB = 40.0

FLOOR_DB = -96.0
"""Lowest level reported, in dBFS: one step of 16-bit sound."""


@dataclass(frozen=True, slots=True)
class Level:
    """Peak and root mean square of a block, both in dBFS."""

    peak: float = FLOOR_DB
    rms: float = FLOOR_DB


def to_db(amplitude: float) -> float:
    """Return ``amplitude`` (1.0 is full scale) in dBFS, at least :data:`FLOOR_DB`."""
    return max(FLOOR_DB, 20.0 * math.log10(amplitude)) if amplitude > 0.0 else FLOOR_DB


def power_to_db(power: float) -> float:
    """Return a mean square in dBFS, at least :data:`FLOOR_DB`."""
    return to_db(math.sqrt(power))


def from_db(level: float) -> float:
    """Return the amplitude factor of ``level`` dB."""
    return float(10.0 ** (level / 20.0))


def block_powers(samples: NDArray[Any], length: int) -> NDArray[Any]:
    """Return the mean square of each whole block of ``length`` samples, in the sound's dtype."""
    blocks = samples[: len(samples) // length * length].reshape(-1, length)
    powers: NDArray[Any] = np.mean(blocks**2, axis=1)
    return powers


def measure(samples: Audio) -> Level:
    """Return the level of a block of any length; an empty block is silence."""
    if len(samples) == 0:
        return Level()
    peak = float(np.max(np.abs(samples)))
    return Level(to_db(peak), power_to_db(float(np.mean(np.square(samples, dtype=np.float64)))))


def at_level(samples: Audio, level: float) -> Audio:
    """Scale ``samples`` (16 kHz) to this RMS in dBFS over the louder half of its 20 ms blocks, so
    that pauses do not count."""
    powers = np.sort(block_powers(samples, FRAME))
    gain = from_db(level) / math.sqrt(float(powers[len(powers) // 2 :].mean()))
    return np.asarray(samples * gain, dtype=np.float32)


def span_of_sound(samples: Audio) -> tuple[int, int]:
    """Return where the sound in ``samples`` begins and ends.

    These are the first sample less than 40 dB below the peak, and the one after the last.
    """
    loud = np.flatnonzero(np.abs(samples) > np.max(np.abs(samples)) * from_db(-_QUIET_DB))
    return int(loud[0]), int(loud[-1]) + 1


class Meter:
    """A level meter for display: rises at once, falls by ``decay`` dB a second.

    ``rate`` is the sample rate of the blocks in Hz; time passes only with samples.
    """

    def __init__(self, rate: int, decay: float = 40.0) -> None:
        self._rate = rate
        self._decay = decay
        self.level = Level()
        """The level shown."""

    def update(self, samples: Audio) -> Level:
        """Take in the next block and return the level shown now."""
        fall = self._decay * len(samples) / self._rate
        now = measure(samples)
        self.level = Level(
            peak=max(now.peak, self.level.peak - fall, FLOOR_DB),
            rms=max(now.rms, self.level.rms - fall, FLOOR_DB),
        )
        return self.level
