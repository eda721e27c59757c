"""Cut off the silence around a clause that comes in pieces."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from audio_io.clock import ASSISTANT_RATE
from audio_io.levels import block_powers
from audio_io.signal import Audio, fade_out

_BLOCK = ASSISTANT_RATE // 100
_SILENT_DB = 40.0
"""Level below the loudest 10 ms at which a clause begins and ends."""
_LEAD = round(0.03 * ASSISTANT_RATE)
_TAIL = round(0.06 * ASSISTANT_RATE)
_FADE = round(0.01 * ASSISTANT_RATE)


class Edges:
    """Cuts off the silence around a clause that comes in pieces: 30 ms stay before, 60 ms after.

    ``loudest``: a level in dBFS that its loudest 10 ms reach.
    """

    def __init__(self, loudest: float) -> None:
        self._loudest = loudest
        self._begun = False
        self._held = np.zeros(0, np.float32)
        self._end = 0  # of what stays, counted from the beginning of what is held back

    def cut(self, piece: Audio, *, over: bool) -> Audio:
        """Add ``piece``; return what is certain to stay. ``over``: no piece follows."""
        sound = np.concatenate((self._held, piece))
        levels = block_levels(sound)
        self._loudest = max(self._loudest, levels.max(initial=self._loudest))
        loud = np.flatnonzero(levels > self._loudest - _SILENT_DB)
        begin = 0
        if len(loud):
            self._end = (int(loud[-1]) + 1) * _BLOCK + _TAIL
            if not self._begun:
                begin = max(0, int(loud[0]) * _BLOCK - _LEAD)
        end = min(len(sound), self._end)
        if not over:
            end = max(0, end - _FADE)  # this much fades out if only silence follows
        kept = sound[begin:end]
        self._held, self._end = sound[end:], self._end - end
        fade = min(_FADE, len(kept))
        if fade and not self._begun:
            self._begun = True
            kept[:fade] *= fade_out(fade)[::-1]
        if over:
            kept[len(kept) - fade :] *= fade_out(fade)
        return kept


def block_levels(sound: Audio) -> NDArray[np.float64]:
    """Return the level of each whole 10 ms of ``sound``, in dBFS."""
    powers = block_powers(sound.astype(np.float64), _BLOCK)
    levels: NDArray[np.float64] = 10 * np.log10(powers + 1e-12)
    return levels
