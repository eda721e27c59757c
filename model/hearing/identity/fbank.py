"""Kaldi's log-mel filter bank, which the speaker network reads.

As Kaldi computes it by default: 16 kHz, 25 ms every 10 ms within the sound, each without its mean,
pre-emphasis, Povey's window, power spectrum of 512 points, triangles on the mel scale from 20 Hz,
natural log. There is no dither, so the same sound gives the same features.
"""

from __future__ import annotations

import functools
from typing import Any

import numpy as np
from numpy.typing import NDArray

from audio_io.clock import USER_RATE
from audio_io.signal import Audio

BANDS = 80
WINDOW = USER_RATE // 40
HOP = USER_RATE // 100

Features = NDArray[np.float32]

_FFT = 512
_LOWEST_HZ = 20.0
_PRE_EMPHASIS = 0.97
_LEAST = np.float32(np.finfo(np.float32).eps)


def features(audio: Audio) -> Features:
    """Return features of mean zero over time, shape (80, frames).

    ``audio`` (float32 mono 16 kHz) has at least ``WINDOW`` samples.
    """
    frames = np.lib.stride_tricks.sliding_window_view(audio, WINDOW)[::HOP]
    frames = frames - frames.mean(axis=1, keepdims=True)
    before = np.concatenate([frames[:, :1], frames[:, :-1]], axis=1)
    frames = (frames - _PRE_EMPHASIS * before) * _povey()
    spectrum = np.fft.rfft(frames, _FFT, axis=1)
    power = (spectrum.real**2 + spectrum.imag**2).astype(np.float32)
    log = np.log(np.maximum(_filters() @ power.T, _LEAST))
    return np.asarray(log - log.mean(axis=1, keepdims=True), np.float32)


@functools.cache
def _povey() -> NDArray[np.float32]:
    hann = 0.5 - 0.5 * np.cos(2 * np.pi * np.arange(WINDOW) / (WINDOW - 1))
    return (hann**0.85).astype(np.float32)


@functools.cache
def _filters() -> NDArray[np.float32]:
    """Return the weight of each FFT bin in each band, shape (80, 257)."""
    bins = _mel(np.fft.rfftfreq(_FFT, 1 / USER_RATE))
    edges = np.linspace(_mel(np.array(_LOWEST_HZ)), _mel(np.array(USER_RATE / 2)), BANDS + 2)
    low, middle, high = edges[:-2, None], edges[1:-1, None], edges[2:, None]
    triangles = np.minimum((bins - low) / (middle - low), (high - bins) / (high - middle))
    return np.maximum(0.0, triangles).astype(np.float32)


def _mel(hz: NDArray[np.floating[Any]]) -> NDArray[np.float64]:
    return np.asarray(1127.0 * np.log1p(hz / 700.0), np.float64)
