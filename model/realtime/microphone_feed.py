"""The user's sound on its way to a server: rate, pieces, and the server's clock."""

from __future__ import annotations

import numpy as np
import soxr

from audio_io.clock import USER_RATE
from audio_io.signal import Audio
from model.engine import Frame
from model.realtime.outbox import Outbox

PIECE_S = 0.04
"""Length of the pieces in which sound is sent."""


class MicrophoneFeed:
    """Puts frames into ``outbox`` as 16-bit samples at ``rate`` Hz.

    A server counts what was appended; :meth:`time_of` turns its milliseconds into user samples.
    """

    def __init__(self, outbox: Outbox, rate: int) -> None:
        self._outbox = outbox
        self._resampler: soxr.ResampleStream | None = None
        if rate != USER_RATE:
            # Of low quality, which is good enough upwards, and 18 ms sooner than the best.
            self._resampler = soxr.ResampleStream(USER_RATE, rate, 1, dtype="float32", quality="LQ")
        self._waiting: list[Audio] = []
        self._origin: int | None = None
        self._piece = round(PIECE_S * USER_RATE)

    def begin_anew(self) -> None:
        """Count from the next frame on, in a new session."""
        self._origin = None
        self._waiting.clear()

    def feed(self, frame: Frame) -> float:
        """Add a frame; return the seconds of older sound that had to go for it."""
        if self._origin is None:
            self._origin = frame.start
        self._waiting.append(frame.samples)
        if sum(map(len, self._waiting)) < self._piece:
            return 0.0
        return self.flush()

    def flush(self) -> float:
        """Send what waits for a piece to be full; return as :meth:`feed`."""
        if not self._waiting:
            return 0.0
        sound = np.concatenate(self._waiting)
        self._waiting.clear()
        if self._resampler is not None:
            sound = self._resampler.resample_chunk(sound)
        data = np.clip(np.rint(sound * 32767), -32768, 32767).astype("<i2").tobytes()
        gone = self._outbox.put_sound(data) * self._piece
        if self._origin is not None:
            self._origin += gone
        return gone / USER_RATE

    def time_of(self, milliseconds: int | None, now: int) -> int:
        """Return when the server's ``milliseconds`` were, at most ``now``; ``now`` if unknown."""
        if milliseconds is None or self._origin is None:
            return now
        return min(now, self._origin + milliseconds * USER_RATE // 1000)
