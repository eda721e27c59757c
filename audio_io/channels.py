"""Make one signal of a microphone's or a file's channels: of those that carry speech.

A plain average loses what is on one input of many, and what two inputs carry with opposite signs.
Speech is told from hum and hiss by its changing level: each channel's background is tracked, and
what rises above it counts.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from audio_io.errors import AudioError
from audio_io.signal import Audio

_SEGMENT_S = 0.02
_RISE = 1.02
"""Factor per segment by which a channel's background estimate rises: 10 dB in 2.3 s."""
_ABOVE = 4.0
"""Least power of speech over its background."""
_FIRST_BACKGROUND = 0.2
"""First estimate of a background as a share of the power, which may be that of a word."""
_FADE = 0.912
"""Factor per segment by which a channel's evidence of speech fades: 20 dB a second."""
_NEAR = 0.1
"""Use the channels whose evidence is at least this share of the strongest one's."""
_OPPOSED = -0.3
"""Correlation with the strongest channel below which another would cancel it."""


def parse_channels(text: str) -> tuple[int, ...]:
    """Return the channels in ``text``, such as ``3`` or ``1,2``; none for an empty text.

    Raises: AudioError.
    """
    words = [word.strip() for word in text.split(",")] if text.strip() else []
    if not all(word.isascii() and word.isdecimal() and 0 < int(word) < 1000 for word in words):
        raise AudioError(
            f"audio.channels cannot be {text!r}: give numbers from 1 on, such as 3 or 1,2"
        )
    return tuple(dict.fromkeys(int(word) for word in words))


class ChannelMix:
    """Mixes ``channels`` channels at ``rate`` Hz to one.

    ``chosen`` are the channels to average, counted from 1; without them, those that carry speech
    are found, and until there was speech all are averaged. Not thread-safe.
    Raises: AudioError when a chosen channel does not exist.
    """

    def __init__(self, channels: int, rate: float, chosen: Sequence[int] = ()) -> None:
        if chosen and max(chosen) > channels:
            raise AudioError(
                f"audio.channels names channel {max(chosen)}, but there are only {channels}: "
                "change it with covo config set audio.channels"
            )
        self._size = max(1, round(_SEGMENT_S * rate))
        self._fixed = bool(chosen) or channels == 1
        self._weights = np.zeros(channels, np.float32)
        self._weights[[number - 1 for number in chosen] or slice(None)] = 1.0
        self._weights /= self._weights.sum()
        self._last: NDArray[np.float32] | None = None
        # Zero, that is unknown, in digital silence.
        self._background = np.zeros(channels)
        self._evidence = np.zeros(channels)
        self._products = np.zeros((channels, channels))

    @property
    def used(self) -> tuple[int, ...]:
        """The channels in use, counted from 1."""
        return tuple(int(index) + 1 for index in np.flatnonzero(self._weights))

    def process(self, frames: NDArray[np.float32]) -> Audio:
        """Return ``frames``, shape (n, channels), as one channel of shape (n,)."""
        if self._fixed:
            return frames @ self._weights
        pieces = [
            self._segment(frames[at : at + self._size]) for at in range(0, len(frames), self._size)
        ]
        return np.concatenate(pieces) if pieces else np.zeros(0, np.float32)

    def _segment(self, frames: NDArray[np.float32]) -> Audio:
        first = self._last is None
        before, self._weights = self._weights, self._weigh(frames)
        if first:
            before = self._weights
        if np.array_equal(before, self._weights):
            return frames @ before
        ramp = np.linspace(0.0, 1.0, len(frames), dtype=np.float32)
        return frames @ before * (1 - ramp) + frames @ self._weights * ramp

    def _weigh(self, frames: NDArray[np.float32]) -> NDArray[np.float32]:
        """Return the weight of each channel, given the next segment."""
        # Differences suppress offsets and hum, which are no speech.
        last = frames[:1] if self._last is None else self._last
        changes = np.diff(frames, axis=0, prepend=last).astype(np.float64)
        self._last = frames[-1:].copy()
        products = changes.T @ changes / len(frames)
        power = products.diagonal()
        steps = len(frames) / self._size
        background = self._background * _RISE**steps
        background = np.where(background > 0.0, background, power * _FIRST_BACKGROUND)
        # Digital silence says nothing about the noise that comes back with the sound.
        sounds = np.count_nonzero(changes, axis=0) > len(frames) / 2
        self._background = np.where(sounds, np.minimum(power, background), 0.0)
        fade = _FADE**steps
        known = self._background > 0.0
        above = np.where(known & (power > _ABOVE * self._background), power, 0.0)
        self._evidence = np.maximum(self._evidence * fade, above)
        self._products = self._products * fade + products
        best = int(np.argmax(self._evidence))
        if self._evidence[best] <= 0.0:
            return self._weights
        scale = np.sqrt(self._products.diagonal() * self._products[best, best])
        opposed = self._products[best] < _OPPOSED * scale
        used = (self._evidence >= _NEAR * self._evidence[best]) & ~opposed
        return np.asarray(used / used.sum(), np.float32)
