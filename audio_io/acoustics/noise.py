"""Background noise of known level, for benchmarks and tests: float32 mono 16 kHz.

Levels are RMS over the whole sound, in dBFS. The state of ``rng`` determines every sample.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from audio_io.clock import USER_RATE
from audio_io.levels import from_db
from audio_io.signal import Audio


def scaled(sound: Any, level: float) -> Audio:
    """Return ``sound`` scaled to ``level`` dBFS."""
    values = np.asarray(sound, dtype=np.float64)
    return np.asarray(values * from_db(level) / np.sqrt(np.mean(values**2)), dtype=np.float32)


def white(n: int, level: float, rng: np.random.Generator) -> Audio:
    """Return ``n`` samples of equal power at all frequencies."""
    return np.asarray(rng.standard_normal(n) * from_db(level), dtype=np.float32)


def pink(n: int, level: float, rng: np.random.Generator) -> Audio:
    """Return ``n`` samples that fall by 3 dB an octave from 20 Hz on: wind, ventilation, rain."""
    spectrum = np.fft.rfft(rng.standard_normal(n))
    frequency = np.fft.rfftfreq(n, 1 / USER_RATE)
    return scaled(np.fft.irfft(spectrum / np.sqrt(np.maximum(frequency, 20.0)), n), level)


def hum(n: int, level: float) -> Audio:
    """Return ``n`` samples of mains hum: 50 Hz and seven overtones."""
    time = np.arange(n) / USER_RATE
    return scaled(sum(np.sin(2 * np.pi * 50 * k * time) / k for k in range(1, 9)), level)


def key_clicks(n: int, rng: np.random.Generator) -> Audio:
    """Return five key strokes a second: noise decaying in 5 ms, with peaks near -12 dBFS."""
    sound = np.zeros(n)
    burst = np.exp(-np.arange(400) / 80.0) * from_db(-20)
    for at in rng.integers(0, n - 400, round(5 * n / USER_RATE)):
        sound[at : at + 400] += burst * rng.standard_normal(400)
    return sound.astype(np.float32)


def babble(
    utterances: Sequence[Audio], n: int, level: float, rng: np.random.Generator, talkers: int = 6
) -> Audio:
    """Return ``n`` samples of ``talkers`` people, each repeating all of ``utterances``."""
    everything = np.concatenate(list(utterances))
    everything = np.tile(everything, n // len(everything) + 1)[:n]
    voices = (np.roll(everything, int(rng.integers(n))) for _ in range(talkers))
    return scaled(sum(voices), level)
