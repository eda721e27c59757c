"""Whisper's log-mel spectrogram.

As in OpenAI's ``whisper/audio.py``: 16 kHz, a periodic Hann window of 400 samples every 160,
reflected at the ends, power spectrum, 80 triangular filters (128 for large-v3) on Slaney's mel
scale with Slaney's normalisation (librosa's default), log10, floor 8 below the maximum, then
``(x + 4) / 4``.
"""

from __future__ import annotations

import functools

import numpy as np
from numpy.typing import NDArray

from audio_io.clock import USER_RATE
from audio_io.signal import Audio

WINDOW = 400
HOP = 160
MELS = 80

Mel = NDArray[np.float32]


def log_mel(audio: Audio, samples: int, mels: int = MELS) -> Mel:
    """Return shape (mels, samples // 160) of ``audio``, padded or cut to ``samples``."""
    padded = np.zeros(samples, np.float32)
    padded[: min(samples, len(audio))] = audio[:samples]
    padded = np.pad(padded, WINDOW // 2, mode="reflect")
    frames = np.lib.stride_tricks.sliding_window_view(padded, WINDOW)[::HOP][:-1]
    spectrum = np.fft.rfft(frames * _hann(), axis=1)
    power = (spectrum.real**2 + spectrum.imag**2).astype(np.float32)
    log = np.log10(np.maximum(_filters(mels) @ power.T, 1e-10))
    log = np.maximum(log, log.max() - 8.0)
    return np.ascontiguousarray((log + 4.0) / 4.0, dtype=np.float32)


@functools.cache
def _hann() -> NDArray[np.float32]:
    return (0.5 - 0.5 * np.cos(2 * np.pi * np.arange(WINDOW) / WINDOW)).astype(np.float32)


@functools.cache
def _filters(mels: int) -> NDArray[np.float32]:
    """Return the weight of each FFT bin in each band, shape (mels, 201)."""
    bins = np.fft.rfftfreq(WINDOW, 1 / USER_RATE)
    edges = _mel_to_hz(np.linspace(_hz_to_mel(0.0), _hz_to_mel(USER_RATE / 2), mels + 2))
    low, middle, high = edges[:-2, None], edges[1:-1, None], edges[2:, None]
    rise = (bins - low) / (middle - low)
    fall = (high - bins) / (high - middle)
    triangles = np.maximum(0.0, np.minimum(rise, fall))
    return (triangles * (2.0 / (high - low))).astype(np.float32)


# Slaney's scale: linear below 1 kHz (3 mels for 200 Hz), logarithmic above it.
_LINEAR_HZ = 200.0 / 3
_KNEE_HZ = 1000.0
_KNEE_MEL = _KNEE_HZ / _LINEAR_HZ
_LOG_STEP = np.log(6.4) / 27.0


def _hz_to_mel(hz: float) -> float:
    if hz < _KNEE_HZ:
        return hz / _LINEAR_HZ
    return float(_KNEE_MEL + np.log(hz / _KNEE_HZ) / _LOG_STEP)


def _mel_to_hz(mel: NDArray[np.float64]) -> NDArray[np.float64]:
    above = _KNEE_HZ * np.exp(_LOG_STEP * (np.maximum(mel, _KNEE_MEL) - _KNEE_MEL))
    return np.where(mel < _KNEE_MEL, mel * _LINEAR_HZ, above)
