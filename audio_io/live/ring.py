"""A preallocated ring of samples between an audio callback and a thread.

One side writes, the other reads; both only copy and never wait. Overruns and underruns are counted.
"""

from __future__ import annotations

import mmap

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
        # Outside the heap, where a buffer of a megabyte for each time a device is opened would
        # leave holes.
        memory = mmap.mmap(-1, 4 * capacity * channels)
        self._buffer = np.frombuffer(memory, np.float32).reshape(capacity, channels)
        self._capacity = capacity
        self.channels = channels
        self.produced = 0
        """Frames written so far. Changed by the writer."""
        self.consumed = 0
        """Frames read so far. Changed by the reader."""
        self.overrun = 0
        """Frames lost because the ring was full. Changed by the writer."""
        self.underruns = 0
        """Reads that found too few frames. Changed by the reader."""

    @property
    def filled(self) -> int:
        """Number of frames ready to be read."""
        return self.produced - self.consumed

    def write(self, frames: Frames) -> None:
        """Append ``frames``, shape (n, channels); drop and count what does not fit."""
        n = min(len(frames), self._capacity - self.filled)
        self.overrun += len(frames) - n
        at = self.produced % self._capacity
        first = min(n, self._capacity - at)
        self._buffer[at : at + first] = frames[:first]
        self._buffer[: n - first] = frames[first:n]
        self.produced += n

    def read_into(self, out: Frames) -> None:
        """Fill ``out``, shape (n, channels), and pad it with silence.

        A ring of one channel fills all channels of ``out``.
        """
        n = max(0, min(len(out), self.filled))
        at = self.consumed % self._capacity
        first = min(n, self._capacity - at)
        out[:first] = self._buffer[at : at + first]
        out[first:n] = self._buffer[: n - first]
        out[n:] = 0.0
        if n < len(out):
            self.underruns += 1
        self.consumed += n

    def cut(self, keep: int, fade: int) -> None:
        """Drop all but the next ``keep`` frames and fade out their last ``fade``.

        For the writer. A read may happen meanwhile, so ``keep`` must be longer than one.
        """
        end = min(self.produced, self.consumed + keep)
        start = max(self.consumed, end - fade)
        self._buffer[np.arange(start, end) % self._capacity] *= fade_out(end - start)[:, None]
        self.produced = max(end, self.consumed)

    def read(self) -> Frames:
        """Return a copy of all frames ready to be read, shape (n, channels)."""
        out = np.empty((self.filled, self._buffer.shape[1]), np.float32)
        self.read_into(out)
        return out
