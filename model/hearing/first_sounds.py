"""Notice sound that may be the beginning of speech, before the detector can tell.

A detector needs some frames to be sure. Until then, the level is all that tells: speech stands out
from what was heard while nobody spoke.
"""

from __future__ import annotations

from collections import deque

from audio_io.clock import FRAME, samples
from audio_io.levels import power_to_db
from audio_io.signal import Audio

_TOLD = samples(0.12) // FRAME
"""Frames after the beginning of speech in which a detector finds it."""
_BACKGROUND = samples(3.0) // FRAME
"""Frames without speech that sound is compared with."""
_ENOUGH = samples(0.3) // FRAME
"""Least number of them."""
_ABOVE_DB = 4.0
"""How much louder than the loudest of them speech begins."""
_BELOW_USER_DB = 40.0
"""How much softer than the user it may begin."""


class FirstSounds:
    """Compares each frame with those without speech; what is near speech may be a part of it."""

    def __init__(self) -> None:
        self._background: deque[float] = deque(maxlen=_BACKGROUND)
        self._latest: deque[float] = deque()
        self._after_speech = 0
        self._left = 0

    @property
    def may_be_speech(self) -> bool:
        """Whether a sound has just stood out that the detector could not tell yet."""
        return self._left > 0

    def take(self, frame: Audio, *, speech: bool, user: float | None) -> None:
        """Take in the next frame. ``speech``: it is the user's; ``user``: their level in dBFS, if
        it is known."""
        self._left = max(0, self._left - 1)
        if speech:
            self._latest.clear()
            self._after_speech, self._left = _TOLD, 0
            return
        if self._after_speech:
            self._after_speech -= 1
            return
        level = power_to_db(float(frame @ frame) / len(frame))
        if len(self._latest) == _TOLD:
            self._background.append(self._latest.popleft())
        self._latest.append(level)
        if user is None or len(self._background) < _ENOUGH or self._left:
            return
        if level >= max(max(self._background) + _ABOVE_DB, user - _BELOW_USER_DB):
            self._left = _TOLD
