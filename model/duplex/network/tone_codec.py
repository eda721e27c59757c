"""A speech codec for synthetic data: each code is a tone.

Covo-Audio's speech tokenizer is not public, so recordings cannot be turned into its codes. With
this codec the loop can be trained and tried without it. Like the real one, it has one codebook and
one code per speech slot.
"""

from __future__ import annotations

import numpy as np

from audio_io.signal import Audio
from model.duplex.protocol.sequence import SILENCE

TONES = 32

_FREQUENCIES = 400.0 * 2.0 ** (np.arange(TONES) / 8)
"""Each code's, in Hz."""
_LEVEL = 0.1
_SILENT = 0.01
_RAMP_S = 0.005


def tones(codes: tuple[int, ...], rate: int, code_rate: float) -> Audio:
    """Return the sound of ``codes``: float32 at ``rate`` Hz, ``rate / code_rate`` samples each.

    SILENCE is silent; codes from TONES on wrap around.
    """
    length = round(rate / code_rate)
    time = np.arange(length) / rate
    ramp = np.minimum(1.0, np.minimum(time, time[::-1]) / _RAMP_S)
    table = _LEVEL * ramp * np.sin(2 * np.pi * _FREQUENCIES[:, None] * time)
    silent = np.zeros((1, length))
    rows = np.concatenate((table, silent))[[TONES if c == SILENCE else c % TONES for c in codes]]
    return rows.reshape(-1).astype(np.float32)


def codes_of(audio: Audio, rate: int, code_rate: float) -> tuple[int, ...]:
    """Return the codes in ``audio`` (float32, ``rate`` Hz), dropping an incomplete last one."""
    length = round(rate / code_rate)
    frames = audio[: len(audio) // length * length].reshape(-1, length).astype(np.float64)
    time = np.arange(length) / rate
    waves = np.exp(-2j * np.pi * _FREQUENCIES[:, None] * time)
    strongest = np.abs(frames @ waves.T).argmax(axis=1)
    silent = np.sqrt((frames**2).mean(axis=1)) < _SILENT
    return tuple(SILENCE if quiet else int(c) for c, quiet in zip(strongest, silent, strict=True))
