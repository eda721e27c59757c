"""From a wave to log-mel spectrograms, against the public code's numbers."""

from __future__ import annotations

import pytest

torch = pytest.importorskip("torch", reason="needs torch (the covo extra)")

from model.covo.language.features import (
    ENCODER_RATE,
    RATE,
    embedding_rows,
    log_mel,
    resample,
    split,
    trim_and_pad,
    turn_features,
)
from model.errors import NetworkInputError
from tests.model.covo.golden_covo import TOLERANCE, error, golden, pcm

CASES = [("short", 0), ("turn2", 0), ("long", 0), ("long", 1)]


@pytest.mark.parametrize("rate", [8_000, 16_000, 22_050, 44_100, 48_000])
def test_any_rate_to_24_khz(rate):
    numbers = golden("covo/resample")
    ours = resample(numbers[f"in_{rate}"], rate, RATE)
    assert error(ours, numbers[f"out_{rate}_to_24000"]) < TOLERANCE


@pytest.mark.parametrize(("case", "index"), CASES)
def test_segments_at_16_khz_and_their_log_mel(case, index):
    numbers = golden(f"covo/features_{case}")
    segment = split(trim_and_pad(pcm(case)))[index]
    if f"wav24k_seg{index}" in numbers:
        assert torch.equal(segment, numbers[f"wav24k_seg{index}"])
    wave = resample(segment, RATE, ENCODER_RATE)
    spectrogram = log_mel(wave)
    assert spectrogram.shape == (128, 3000)
    parts = {
        f"wav16k_seg{index}": wave,
        f"wav16k_seg{index}_head16000": wave[:16_000],
        f"wav16k_seg{index}_tail16000": wave[-16_000:],
        f"logmel_seg{index}_first240frames": spectrogram[:, :240],
        f"logmel_seg{index}_last20frames": spectrogram[:, -20:],
        f"logmel_seg{index}_every5frames": spectrogram[:, ::5],
        f"logmel_seg{index}_every10frames": spectrogram[:, ::10],
    }
    checked = {name: error(ours, numbers[name]) for name, ours in parts.items() if name in numbers}
    assert len(checked) >= 2
    assert max(checked.values()) < TOLERANCE, checked


def test_trimming_and_padding():
    assert [len(split(trim_and_pad(torch.ones(n)))[0]) for n in (240, 480, 719, 720, 55_591)] == [
        *(480, 480, 480, 960, 55_680)
    ]
    padded = trim_and_pad(torch.ones(55_591))
    assert int(padded.count_nonzero()) == 55_440


@pytest.mark.parametrize(
    ("frames", "theirs", "ours"),
    [
        *((112, 7, 7), (232, 15, 15), (3000, 188, 188), (3008, 188, 189), (3104, 194, 195)),
        *((6000, 375, 376), (9050, 566, 568), (30_000, 1875, 1880)),
    ],
)
def test_nothing_of_a_long_turn_is_lost(frames, theirs, ours):
    assert sum(embedding_rows(frames * 240, reference_quirks=True)) == theirs
    assert sum(embedding_rows(frames * 240)) == ours


def test_stereo_is_the_mean_of_its_channels():
    left, right = torch.randn(2, 4_800, generator=torch.Generator().manual_seed(0))
    both = turn_features(torch.stack((left, right)), 16_000).log_mels
    assert torch.equal(both, turn_features((left + right) / 2, 16_000).log_mels)


def test_only_the_spectrogram_is_computed_on_the_network_s_device(monkeypatch):
    from transformers import WhisperFeatureExtractor

    usual, asked = WhisperFeatureExtractor.__call__, []

    def spy(self, audio, *, device, **settings):
        asked.append(device)
        return usual(self, audio, device="cpu", **settings)

    monkeypatch.setattr(WhisperFeatureExtractor, "__call__", spy)
    audio = torch.randn(24_000 * 31, generator=torch.Generator().manual_seed(0))
    there = turn_features(audio, RATE, device=torch.device("cuda:1"))
    assert asked == ["cuda:1"] * 2
    assert torch.equal(there.log_mels, turn_features(audio, RATE).log_mels)


def test_silence_is_a_turn():
    features = turn_features(torch.zeros(24_000), 24_000)
    assert features.placeholders == 7
    assert bool(features.log_mels.isfinite().all())


@pytest.mark.parametrize(
    ("audio", "message"),
    [
        (torch.zeros(0), "too short: 0.0 ms"),
        (torch.zeros(239), "too short: 10.0 ms"),
        (torch.full((4_800,), torch.nan), "not numbers"),
        (torch.zeros(4_800, dtype=torch.int16), "must be floats"),
        (torch.zeros(1, 1, 4_800), "shape"),
    ],
)
def test_what_is_no_turn(audio, message):
    with pytest.raises(NetworkInputError, match=message):
        turn_features(audio, 24_000)
