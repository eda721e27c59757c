"""Make laughter and coughs from shaped noise.

A cough is one to three bursts: a sharp onset, noise through an open throat's resonances, a weaker
voiced tail. Laughter is four to seven "ha", about five a second: breath noise and a voice falling
in pitch and level, through the vowel's formants. Both are crude, but resemble real ones in what a
detector looks at: level, length, rhythm and spectrum.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from audio_io.clock import USER_RATE
from audio_io.signal import Audio

_OPEN_THROAT = ((600.0, 300.0, 1.0), (1500.0, 500.0, 0.8), (2800.0, 900.0, 0.5))
_VOWEL_A = ((750.0, 150.0, 1.0), (1250.0, 200.0, 0.6), (2600.0, 350.0, 0.25))
"""Formants: frequency and bandwidth in Hz, gain."""


def cough(seed: int) -> Audio:
    """Return a cough of 0.2 to 0.9 s: float32 mono 16 kHz, peak 1."""
    rng = np.random.default_rng([seed, 1])
    pieces: list[Any] = []
    for _ in range(int(rng.integers(1, 4))):
        length = round(rng.uniform(0.16, 0.26) * USER_RATE)
        time = np.arange(length) / USER_RATE
        burst = rng.standard_normal(length) * np.exp(-time / rng.uniform(0.03, 0.06))
        voice = _voice(length, rng.uniform(110, 180), -40.0, rng)
        tail = 0.5 * voice * np.clip((time - 0.04) / 0.03, 0, 1) * np.exp(-time / 0.07)
        sound = _through(burst + tail, _OPEN_THROAT) * np.clip(time / 0.006, 0, 1)
        pieces += [sound, np.zeros(round(rng.uniform(0.04, 0.1) * USER_RATE))]
    return _normalised(np.concatenate(pieces[:-1]))


def laughter(seed: int) -> Audio:
    """Return a laugh of 0.7 to 1.4 s: float32 mono 16 kHz, peak 1."""
    rng = np.random.default_rng([seed, 2])
    pitch = rng.uniform(190, 320)
    pieces: list[Any] = []
    for n in range(int(rng.integers(4, 8))):
        length = round(rng.uniform(0.1, 0.13) * USER_RATE)
        time = np.arange(length) / USER_RATE
        rise = np.clip(time / 0.025, 0, 1)
        breath = 0.35 * rng.standard_normal(length)
        voice = _voice(length, pitch * 0.95**n, -200.0, rng) * np.clip((time - 0.02) / 0.02, 0, 1)
        fall = np.exp(-time / 0.06) * 0.88**n
        pieces += [_through(breath + voice, _VOWEL_A) * rise * fall]
        pieces += [np.zeros(round(rng.uniform(0.06, 0.09) * USER_RATE))]
    return _normalised(np.concatenate(pieces[:-1]))


def _voice(length: int, pitch: float, glide: float, rng: np.random.Generator) -> Any:
    """Return a buzz of 24 harmonics at ``pitch`` Hz, changing by ``glide`` Hz/s."""
    time = np.arange(length) / USER_RATE
    jitter = 1 + 0.01 * np.cumsum(rng.standard_normal(length)) / np.sqrt(length)
    phase = 2 * np.pi * np.cumsum((pitch + glide * time) * jitter) / USER_RATE
    return sum(np.sin(k * phase) / k for k in range(1, 25))


def _through(sound: Any, formants: Sequence[tuple[float, float, float]]) -> Any:
    spectrum = np.fft.rfft(sound)
    frequency = np.fft.rfftfreq(len(sound), 1 / USER_RATE)
    gain = sum(g / (1 + ((frequency - f) / (b / 2)) ** 2) for f, b, g in formants)
    return np.fft.irfft(spectrum * (gain + 0.02), len(sound))


def _normalised(sound: Any) -> Audio:
    return np.asarray(sound / np.max(np.abs(sound)), np.float32)
