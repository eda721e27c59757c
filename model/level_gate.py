"""Is it the user, or only somebody? A gate by level, for what a detector cannot tell apart.

A detector hears speech in babble or a television, however quiet. So where it hears speech even in
the quietest moments, only what stands out from those counts as the user's. What is far below the
user never does: a detector goes on hearing speech for a moment when it is over.
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
_SECONDS = 3.0
"""How far back the background is looked for."""
_BACKGROUND = 10
"""The background is the level that one in so many frames is below."""
_QUIETEST = 3
"""The quietest moments are one in so many frames."""
_FALL_DB = 1.0
"""dB by which the user's level falls in a second of speech that is quieter."""


class LevelGate:
    """Follows two levels in dBFS (rms of 60 ms): ``user`` while speaking, ``background`` between.

    What is more than ``far`` dB below the user does not pass. In a background that sounds like
    speech, what is ``above`` dB louder than it passes, and whatever is not more than ``below`` dB
    quieter than the user.
    """

    def __init__(self, above: float = 8.0, below: float = 6.0, far: float = 40.0) -> None:
        self._above = above
        self._below = below
        self._far = far
        self._powers: deque[float] = deque(maxlen=_SHORT)
        self._heard: deque[tuple[float, bool]] = deque()
        self._length = 0
        self.user: float | None = None
        self.level = FLOOR_DB
        self.background = FLOOR_DB
        self.threshold = FLOOR_DB
        """What speech must reach to pass, in dBFS."""

    def passes(self, frame: Audio, speech: bool) -> bool:
        """Take in the next frame, of which a detector says that it is ``speech``; whether it is
        loud enough for the user's."""
        self._powers.append(float(frame @ frame) / len(frame))
        power = sum(self._powers) / len(self._powers)
        self.level = max(FLOOR_DB, 10 * math.log10(power + 1e-12))
        self._look_around(len(frame), speech)
        if not speech or self.level < self.threshold:
            return False
        fallen = FLOOR_DB if self.user is None else self.user - _FALL_DB * len(frame) / samples(1.0)
        self.user = max(self.level, fallen)
        return True

    def _look_around(self, length: int, speech: bool) -> None:
        self._heard.append((self.level, speech))
        self._length += length
        if self._length > samples(_SECONDS):
            self._length -= length
            self._heard.popleft()
        by_level = sorted(self._heard)
        self.background = by_level[len(by_level) // _BACKGROUND][0]
        quietest = by_level[: max(1, len(by_level) // _QUIETEST)]
        like_speech = sum(speech for _, speech in quietest) > len(quietest) / 2
        if self.user is None:
            return
        self.threshold = self.user - self._far
        if like_speech:
            out = min(self.background + self._above, self.user - self._below)
            self.threshold = max(self.threshold, out)
