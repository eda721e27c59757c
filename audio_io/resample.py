"""Change the sample rate of a whole sound or of a stream (mono float32, by soxr).

A streaming resampler returns in total exactly what one call would, however the stream is cut into
chunks. It delays its output:

- ordinary (files): linear phase and no shift in time, but output comes in bursts that lag the
  input by up to 80 ms;
- ``low_latency`` (devices): soxr's variable-rate filter, steadily 10 to 14 ms behind the input.
  To and from 16 kHz it shifts the sound by less than 0.5 ms.

Measured with 20 ms chunks between 8, 16, 24, 44.1, 48 and 192 kHz.
"""

from __future__ import annotations

from typing import cast

import numpy as np
import soxr

from audio_io.signal import Audio

_EMPTY = np.zeros(0, np.float32)


class StreamResampler:
    """Resamples a stream from ``source`` Hz to ``target`` Hz; equal rates pass it through.

    Not thread-safe. Raises: ValueError when a rate is not positive.
    """

    def __init__(self, source: float, target: float, *, low_latency: bool = False) -> None:
        if source <= 0 or target <= 0:
            raise ValueError(f"sample rates must be positive, not {source} and {target}")
        self._stream = (
            None if source == target else soxr.ResampleStream(source, target, 1, vr=low_latency)
        )

    def process(self, samples: Audio) -> Audio:
        """Take in the next chunk, of any length; return the output that is ready, if any."""
        chunk = np.ascontiguousarray(samples, dtype=np.float32)
        if self._stream is None:
            return chunk
        return cast(Audio, self._stream.resample_chunk(chunk))

    def flush(self) -> Audio:
        """End the stream and return its rest; the next chunk begins a new stream.

        In total, ``n`` samples become ``round(n * target / source)`` (``low_latency``: or one
        less).
        """
        if self._stream is None:
            return _EMPTY
        rest = cast(Audio, self._stream.resample_chunk(_EMPTY, last=True))
        self._stream.clear()
        return rest

    def reset(self) -> None:
        """Drop the rest of the stream; the next chunk begins a new one."""
        if self._stream is not None:
            self._stream.clear()


def resample(samples: Audio, source: float, target: float) -> Audio:
    """Resample a whole sound from ``source`` to ``target`` Hz: (n,) to (round(n * ratio),)."""
    return cast(Audio, soxr.resample(samples, source, target))


class FrameResampler:
    """Resamples a stream frame by frame: each call returns as much time as it takes in.

    The output begins with silence, as long as the resampler's delay (10 to 14 ms).
    """

    def __init__(self, source: float, target: float, frame: int) -> None:
        self._resampler = StreamResampler(source, target, low_latency=True)
        self._frame = frame
        self._ready = np.zeros(0, np.float32)

    def process(self, samples: Audio) -> Audio:
        """Take in a frame at the source's rate; return ``frame`` samples at the target's."""
        self._ready = np.concatenate([self._ready, self._resampler.process(samples)])
        missing = self._frame - len(self._ready)
        if missing > 0:
            self._ready = np.pad(self._ready, (missing, 0))
        out, self._ready = self._ready[: self._frame], self._ready[self._frame :]
        return out
