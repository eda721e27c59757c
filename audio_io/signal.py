"""Types that every room uses for sound."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

Audio = NDArray[np.float32]
"""Mono sound in [-1, 1], shape (samples,)."""


@dataclass(frozen=True, slots=True)
class Position:
    """How far the speaker has played: ``samples`` (24 kHz) of reply ``reply_id``.

    ``reply_id`` is -1 before anything was played.
    """

    reply_id: int = -1
    samples: int = 0


NOTHING_PLAYED = Position()


class SpeechDetector(Protocol):
    """Tells speech from other sounds, frame by frame, without looking ahead."""

    def process(self, samples: Audio) -> float:
        """Return the probability in [0, 1] that the next frame, shape (320,), ends in speech."""

    def reset(self) -> None:
        """Forget all past frames."""


def fade_out(length: int) -> Audio:
    """Return ``length`` gains that fall linearly from just below 1 to 0."""
    return np.linspace(1.0, 0.0, length + 1, dtype=np.float32)[1:]
