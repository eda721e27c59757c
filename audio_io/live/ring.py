"""A preallocated ring of samples between an audio callback and a thread.

One side writes, one side reads, and neither waits: a write that does not fit and a read that finds
too little are counted. Copying is all that happens in either.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from audio_io.signal import fade_out

Frames = NDArray[np.float32]
"""Sound of several channels, shape (frames, channels)."""


class Ring:
    """Holds up to ``capacity`` frames of ``channels`` samples, for one writer and one reader.

    No lock is needed: each of the two counters is changed by one side only, after its copy is done.
    """

    def __init__(self, capacity: int, channels: int) -> None:
        self._buffer = np.zeros((capacity, channels), np.float32)
        self._capacity = capacity
        self._written = 0
        self._read = 0
        self.overrun = 0
        """Frames that were lost because the ring was full. Changed by the writer."""
        self.underruns = 0
        """Reads that found too little. Changed by the reader."""

    @property
    def filled(self) -> int:
        """Frames that wait to be read."""
        return self._written - self._read

    @property
    def consumed(self) -> int:
        """Frames that were read in all."""
        return self._read

    @property
    def produced(self) -> int:
        """Frames that were written in all."""
        return self._written

    def write(self, frames: Frames) -> None:
        """Append ``frames``, shape (n, channels); what does not fit is lost and counted."""
        n = min(len(frames), self._capacity - self.filled)
        self.overrun += len(frames) - n
        at = self._written % self._capacity
        first = min(n, self._capacity - at)
        self._buffer[at : at + first] = frames[:first]
        self._buffer[: n - first] = frames[first:n]
        self._written += n

    def read_into(self, out: Frames) -> None:
        """Fill ``out``, shape (n, any number of channels), with silence where there is too little.

        A ring of one channel fills all channels of ``out``.
        """
        n = max(0, min(len(out), self.filled))
        at = self._read % self._capacity
        first = min(n, self._capacity - at)
        out[:first] = self._buffer[at : at + first]
        out[first:n] = self._buffer[: n - first]
        out[n:] = 0.0
        if n < len(out):
            self.underruns += 1
        self._read += n

    def cut(self, keep: int, fade: int) -> None:
        """Drop all but the next ``keep`` frames, of which the last ``fade`` fade out.

        For the writer; ``keep`` must be longer than a read, which may happen meanwhile.
        """
        end = min(self._written, self._read + keep)
        start = max(self._read, end - fade)
        self._buffer[np.arange(start, end) % self._capacity] *= fade_out(end - start)[:, None]
        self._written = max(end, self._read)

    def read(self) -> Frames:
        """A copy of all that waits, shape (n, channels)."""
        out = np.empty((self.filled, self._buffer.shape[1]), np.float32)
        self.read_into(out)
        return out
