"""Notice that the program stood still, or that the system's clock was set, and say so.

Turns and recording count samples, so neither harms them.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from datetime import timedelta

STANDSTILL_S = 2.0
"""Longest gap between two looks that passes for a busy machine."""
CLOCK_JUMP_S = 5.0
"""Least change of the system's clock to tell of."""


class ClockWatch:
    """Compares two clocks at every look: a ``steady`` one and the ``wall``'s, in seconds."""

    def __init__(
        self,
        steady: Callable[[], float] = time.monotonic,
        wall: Callable[[], float] = time.time,
    ) -> None:
        self._steady, self._wall = steady, wall
        self._last = (steady(), wall())

    def look(self) -> Iterator[str]:
        """Yield what has happened since the last look, for the user."""
        steady, wall = self._steady(), self._wall()
        passed, by_the_wall = steady - self._last[0], wall - self._last[1]
        self._last = (steady, wall)
        if passed > STANDSTILL_S:
            yield f"the program stood still for {passed:.1f} s"
        jump = by_the_wall - passed
        if abs(jump) < CLOCK_JUMP_S:
            return
        length = timedelta(seconds=round(abs(jump)))
        if jump < 0:
            yield f"the system's clock was set back by {length}"
        else:
            yield f"the computer slept for {length}, or its clock was set forward"
