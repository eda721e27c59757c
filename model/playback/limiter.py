"""Make a voice louder or softer, as far as its peaks allow."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from audio_io.levels import from_db
from audio_io.signal import Audio

PEAK = from_db(-1.2)
"""Largest sample."""


class Limiter:
    """Lowers sound that comes in pieces, once and for all, so that no sample exceeds ``PEAK``.

    The gain begins at ``gain`` and glides down until the first sample that would be too large;
    nothing is clipped.
    """

    def __init__(self, gain: float = 1.0) -> None:
        self._gain = gain
        self._begun = False

    def limit(self, piece: Audio) -> Audio:
        """Return ``piece``, lowered where it must be."""
        sizes = np.abs(piece)
        gains = np.full(len(piece), self._gain, np.float32)
        too_large = sizes * self._gain > PEAK
        if too_large.any():
            glide = int(np.argmax(too_large)) if self._begun else 0
            lower = PEAK / float(sizes.max())
            gains[:glide] = np.linspace(self._gain, lower, glide, endpoint=False)
            gains[glide:] = self._gain = lower
        self._begun = self._begun or len(piece) > 0
        return piece * gains


def louder_by(loudness: float) -> Callable[[Audio], Audio]:
    """Return what makes the pieces of one reply ``loudness`` dB louder, one after another.

    Peaks limit how much louder they get. 0 dB leaves the pieces as they are.
    """
    if not loudness:
        return lambda piece: piece
    return Limiter(from_db(loudness)).limit
