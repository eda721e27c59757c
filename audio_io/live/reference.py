"""The speaker's stream on the microphone's clock: the reference for echo cancellation.

The two devices run on different crystals, so :meth:`Reference.tick` follows what the device has
taken (*delivered*) about 20 ms behind:

- with less than a frame delivered, it returns a frame of silence and follows 20 ms later from then
  on (it does so a little sooner where that splits no sound);
- more than 100 ms behind, it skips silence; more than 200 ms behind, it skips sound.

*Delivered* runs ahead of what is heard, so the reference precedes its echo.
"""

from __future__ import annotations

import numpy as np

from audio_io.clock import ASSISTANT_FRAME, ASSISTANT_RATE
from audio_io.signal import Audio, fade_out

_CUSHION = ASSISTANT_FRAME
_SKIP_SILENCE = ASSISTANT_RATE // 10
_SKIP_SOUND = ASSISTANT_RATE // 5
_LONGEST = 5 * ASSISTANT_RATE


class Reference:
    """The rendered samples not ticked yet. All positions are indices of the 24 kHz stream."""

    def __init__(self) -> None:
        self._samples = np.zeros(0, np.float32)
        self._start = 0
        self._ticked: int | None = None
        self.corrections = 0
        """Steps that touched sound; clocks 100 ppm apart need at most one in three minutes."""

    def append(self, block: Audio) -> None:
        """Append rendered samples, and drop what is older than 5 s."""
        self._samples = np.concatenate([self._samples, block])
        surplus = len(self._samples) - _LONGEST
        if surplus > 0:  # not ticked yet: keep what a late first tick may need
            self._samples = self._samples[surplus:]
            self._start += surplus
            if self._ticked is not None:
                self._ticked = max(self._ticked, self._start)

    def cut(self, end: int, fade: int) -> None:
        """Drop the samples from ``end`` on, and fade out the last ``fade`` before it."""
        length = max(0, end - self._start)
        self._samples = self._samples[:length]
        fade = min(length, fade)
        self._samples[length - fade :] *= fade_out(fade)

    def tick(self, delivered: int) -> Audio:
        """Return the next frame, float32 of shape (480,)."""
        if self._ticked is None:
            self._ticked = max(self._start, delivered - ASSISTANT_FRAME - _CUSHION)
        self._ticked += self._skip(delivered - self._ticked - ASSISTANT_FRAME - _CUSHION)
        at = self._ticked - self._start
        due = self._samples[at : at + ASSISTANT_FRAME]
        surplus = delivered - self._ticked - ASSISTANT_FRAME
        sound = bool(due.any())
        frame = np.zeros(ASSISTANT_FRAME, np.float32)
        if surplus < 0 or (surplus < _CUSHION // 2 and not sound):
            # Pad by a whole frame, so that the next pad is far away.
            self.corrections += sound
            return frame
        frame[:] = due
        self._ticked += ASSISTANT_FRAME
        self._samples = self._samples[at + ASSISTANT_FRAME :]
        self._start = self._ticked
        return frame

    def _skip(self, surplus: int) -> int:
        """Return how many of ``surplus`` samples to skip: all of them or none."""
        at = (self._ticked or 0) - self._start
        sound = surplus > _SKIP_SILENCE and bool(self._samples[at : at + surplus].any())
        if surplus <= (_SKIP_SOUND if sound else _SKIP_SILENCE):
            return 0
        self.corrections += sound
        return surplus
