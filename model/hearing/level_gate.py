"""Tell the user from other voices by their level.

A speech detector also hears babble or a television, however quiet. Where even the quietest moments
sound like speech, only sound that stands out from them counts as the user's. Speech far below the
user's level never does: a detector keeps reporting speech briefly after its end.
"""

from __future__ import annotations

from collections import deque

from audio_io.clock import FRAME, samples
from audio_io.levels import power_to_db
from audio_io.signal import Audio

_FLOOR_DB = -90.0
"""Levels below this, in dBFS, count as silence."""

_SHORT = 3
"""Frames over which a level is measured."""
_LONG = samples(3.0) // FRAME
"""Frames from which the background is estimated."""
_BACKGROUND = 10
"""One in this many frames is quieter than the background's level."""
_QUIETEST = 3
"""One in this many frames counts as one of the quietest."""
_FALL_DB = 1.0
"""Fall of the user's level during quieter speech, in dB per second."""


class LevelGate:
    """Follows the level in dBFS (rms of 60 ms) at which the ``user`` speaks.

    Speech more than ``far`` dB below the user is blocked. Over a background like speech, it must be
    ``above`` dB louder than the background, or at most ``below`` dB quieter than the user.
    """

    def __init__(self, above: float = 8.0, below: float = 6.0, far: float = 40.0) -> None:
        self._above = above
        self._below = below
        self._far = far
        self._powers: deque[float] = deque(maxlen=_SHORT)
        self._heard: deque[tuple[float, bool]] = deque(maxlen=_LONG)
        self.user: float | None = None

    def passes(self, frame: Audio, speech: bool) -> bool:
        """Take in the next frame; return whether it is the user's ``speech`` rather than someone
        else's."""
        self._powers.append(float(frame @ frame) / len(frame))
        power = sum(self._powers) / len(self._powers)
        level = max(_FLOOR_DB, power_to_db(power))
        self._heard.append((level, speech))
        if not speech:
            return False
        if self.user is None:
            self.user = level
        elif level < self._least(self.user):
            return False
        self.user = max(level, self.user - _FALL_DB * len(frame) / samples(1.0))
        return True

    def _least(self, user: float) -> float:
        """Return the lowest level in dBFS at which speech passes."""
        by_level = sorted(self._heard)
        background, _ = by_level[len(by_level) // _BACKGROUND]
        quietest = by_level[: max(1, len(by_level) // _QUIETEST)]
        if sum(speech for _, speech in quietest) <= len(quietest) / 2:
            return user - self._far
        return max(user - self._far, min(background + self._above, user - self._below))
