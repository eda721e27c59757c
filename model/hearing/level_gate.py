"""Is it the user, or only somebody? A gate by level, for what a detector cannot tell apart.

A detector hears speech in babble or a television, however quiet. So where it hears speech even in
the quietest moments, only what stands out from those counts as the user's. What is far below the
user never does: a detector goes on hearing speech for a moment when it is over.
"""

from __future__ import annotations

from collections import deque

from audio_io.clock import FRAME, samples
from audio_io.levels import power_to_db
from audio_io.signal import Audio

_FLOOR_DB = -90.0
"""The least level that is told from silence, in dBFS."""

_SHORT = 3
"""Frames over which a level is taken."""
_LONG = samples(3.0) // FRAME
"""Frames over which the background is looked for."""
_BACKGROUND = 10
"""The background is the level that one in so many frames is below."""
_QUIETEST = 3
"""The quietest moments are one in so many frames."""
_FALL_DB = 1.0
"""dB by which the user's level falls in a second of speech that is quieter."""


class LevelGate:
    """Follows the level in dBFS (rms of 60 ms) at which the ``user`` speaks.

    What is more than ``far`` dB below the user does not pass. In a background that sounds like
    speech, what is ``above`` dB louder than it passes, and whatever is not more than ``below`` dB
    quieter than the user.
    """

    def __init__(self, above: float = 8.0, below: float = 6.0, far: float = 40.0) -> None:
        self._above = above
        self._below = below
        self._far = far
        self._powers: deque[float] = deque(maxlen=_SHORT)
        self._heard: deque[tuple[float, bool]] = deque(maxlen=_LONG)
        self.user: float | None = None

    def passes(self, frame: Audio, speech: bool) -> bool:
        """Take in the next frame, of which a detector says that it is ``speech``; whether it is
        loud enough for the user's."""
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
        """The level that speech must have to pass, in dBFS."""
        by_level = sorted(self._heard)
        background, _ = by_level[len(by_level) // _BACKGROUND]
        quietest = by_level[: max(1, len(by_level) // _QUIETEST)]
        if sum(speech for _, speech in quietest) <= len(quietest) / 2:
            return user - self._far
        return max(user - self._far, min(background + self._above, user - self._below))
