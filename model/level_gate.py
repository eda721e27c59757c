"""Is it the user, or only somebody? A gate by level, for what a detector cannot tell apart.

A detector hears speech in babble, a television or what is left of an echo, however quiet. The gate
knows how loud the user is and how loud it is between his words, and lets only the upper part of
that range count as his speech.
"""

from __future__ import annotations

import math
from collections import deque

from model.clock import samples
from model.engine import Audio

FLOOR_DB = -90.0
"""The least level that is told from silence, in dBFS."""

_SHORT = 3
"""Frames over which a level is taken."""
_FLOOR_SECONDS = 3.0
_FLOOR_SHARE = 10
"""The background is the level that one in so many of the last seconds' frames is below."""
_FALL_DB = 1.0
"""dB by which the user's level falls in a second of speech that is quieter."""


class LevelGate:
    """Follows two levels in dBFS (rms of 60 ms): ``user`` while speaking, ``background`` between.

    ``share``: the part of the range between them, counted from the user's level, that passes, but
    never less than ``least`` nor more than ``most`` dB.
    """

    def __init__(self, share: float = 0.6, least: float = 6.0, most: float = 30.0) -> None:
        self._share = share
        self._least = least
        self._most = most
        self._powers: deque[float] = deque(maxlen=_SHORT)
        self._levels: deque[float] = deque()
        self._length = 0
        self.user: float | None = None
        self.background = FLOOR_DB
        self.level = FLOOR_DB

    @property
    def threshold(self) -> float:
        """What speech must reach to pass now, in dBFS."""
        if self.user is None:
            return FLOOR_DB
        room = self._share * (self.user - self.background)
        return self.user - min(self._most, max(self._least, room))

    def passes(self, frame: Audio, speech: bool) -> bool:
        """Take in the next frame, of which a detector says that it is ``speech``; whether it is
        loud enough for the user's."""
        self._powers.append(float(frame @ frame) / len(frame))
        power = sum(self._powers) / len(self._powers)
        self.level = max(FLOOR_DB, 10 * math.log10(power + 1e-12))
        self._levels.append(self.level)
        self._length += len(frame)
        if self._length > samples(_FLOOR_SECONDS):
            self._length -= len(frame)
            self._levels.popleft()
        self.background = sorted(self._levels)[len(self._levels) // _FLOOR_SHARE]
        if not speech or self.level < self.threshold:
            return False
        fallen = FLOOR_DB if self.user is None else self.user - _FALL_DB * len(frame) / samples(1.0)
        self.user = max(self.level, fallen)
        return True
