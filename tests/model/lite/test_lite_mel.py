"""The log-mel spectrogram against one computed another way."""

from __future__ import annotations

import math

import numpy as np
import pytest

from model.lite.mel import HOP, MELS, log_mel

RATE = 16_000


def direct_log_mel(audio: np.ndarray, frames: list[int], mels: int) -> np.ndarray:
    """The columns ``frames`` before the floor relative to the maximum: a direct DFT in float64,
    mel edges by the published formula, one filter after the other."""
    padded = np.concatenate([audio[200:0:-1], audio, audio[-2:-202:-1]]).astype(np.float64)
    n = np.arange(400)
    window = 0.5 * (1 - np.cos(2 * math.pi * n / 400))
    dft = np.exp(-2j * math.pi * np.outer(np.arange(201), n) / 400)

    def hz(mel: float) -> float:
        return mel * 200 / 3 if mel < 15 else 1000 * math.exp((mel - 15) * math.log(6.4) / 27)

    top = 15 + math.log(8000 / 1000) * 27 / math.log(6.4)
    edges = [hz(top * i / (mels + 1)) for i in range(mels + 2)]
    columns = []
    for frame in frames:
        power = np.abs(dft @ (padded[frame * HOP : frame * HOP + 400] * window)) ** 2
        column = []
        for low, mid, high in zip(edges, edges[1:], edges[2:], strict=False):
            total = 0.0
            for k in range(201):
                f = k * RATE / 400
                weight = min((f - low) / (mid - low), (high - f) / (high - mid))
                total += max(0.0, weight) * 2 / (high - low) * power[k]
            column.append(math.log10(max(total, 1e-10)))
        columns.append(column)
    return np.array(columns).T


@pytest.mark.parametrize("mels", [MELS, 128])
def test_against_a_direct_transform(mels: int) -> None:
    rng = np.random.default_rng(1)
    t = np.arange(RATE) / RATE
    audio = (0.3 * np.sin(2 * np.pi * 440 * t) + 0.05 * rng.standard_normal(RATE)).astype(
        np.float32
    )
    frames = [0, 1, 37, 98, 99]
    expected = direct_log_mel(audio, frames, mels)
    mel = log_mel(audio, RATE, mels)
    assert mel.shape == (mels, 100)
    # Nothing here lies 8 below the maximum, so only the scaling is left to compare.
    np.testing.assert_allclose(mel[:, frames], (expected + 4) / 4, atol=2e-4)


def test_a_tone_is_loudest_in_its_own_band() -> None:
    t = np.arange(RATE) / RATE
    mel = log_mel(np.sin(2 * np.pi * 1000 * t).astype(np.float32), RATE)
    # 1 kHz is mel 15 of 45.2: band 15 * 81 / 45.245 - 1 = 25.85.
    assert abs(int(mel.mean(axis=1).argmax()) - 25.85) < 1


@pytest.mark.parametrize("length", [0, 1, 159, 16_000, 40_000])
def test_shape_and_floor_do_not_depend_on_the_length(length: int) -> None:
    audio = np.full(length, 0.1, np.float32)
    mel = log_mel(audio, 2 * RATE)
    assert mel.shape == (80, 200)
    assert np.isfinite(mel).all()
    assert mel.max() - mel.min() <= 2.0 + 1e-6
