"""Slow a source of frames down to real time."""

from __future__ import annotations

import time
from collections.abc import Callable

from audio_io.clock import FRAME_S


class Pacer:
    """Lets one frame through every 20 ms of ``clock``.

    Time counts from the first :meth:`wait`, so delays do not add up. A frame is due when its last
    sample is: 20 ms after its first.
    """

    def __init__(
        self,
        clock: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        self._clock = clock
        self._sleep = sleep
        self._began: float | None = None
        self._frames = 0

    def wait(self, timeout: float) -> bool:
        """Wait up to ``timeout`` seconds for the next frame; return whether it is due."""
        now = self._clock()
        if self._began is None:
            self._began = now
        wait = self._began + (self._frames + 1) * FRAME_S - now
        if wait > 0:
            self._sleep(min(wait, timeout))
            if wait > timeout:
                return False
        self._frames += 1
        return True
