from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from audio_io.resample import FrameResampler, StreamResampler, resample

RATES = [8_000, 16_000, 24_000, 44_100, 48_000, 192_000]


@settings(max_examples=100, deadline=None)
@given(
    source=st.sampled_from(RATES),
    target=st.sampled_from(RATES),
    low_latency=st.booleans(),
    cuts=st.lists(st.integers(0, 1500), min_size=1, max_size=20),
    seed=st.integers(0, 2**16),
)
def test_chunks_equal_one_shot(
    source: int, target: int, low_latency: bool, cuts: list[int], seed: int
) -> None:
    sound = np.random.default_rng(seed).standard_normal(sum(cuts)).astype(np.float32)
    chunked = StreamResampler(source, target, low_latency=low_latency)
    whole = StreamResampler(source, target, low_latency=low_latency)
    pieces = [chunked.process(part) for part in np.split(sound, np.cumsum(cuts)[:-1])]
    pieces.append(chunked.flush())
    expected = np.concatenate([whole.process(sound), whole.flush()])
    np.testing.assert_array_equal(np.concatenate(pieces), expected)
    exact = len(sound) * target / source
    assert len(expected) == pytest.approx(exact, abs=1.501 if low_latency else 0.501)


@pytest.mark.parametrize(("source", "target"), [(48_000, 16_000), (24_000, 44_100)])
def test_a_tone_keeps_pitch_level_and_place(source: int, target: int) -> None:
    tone = np.sin(2 * np.pi * 997 * np.arange(source) / source).astype(np.float32)
    expected = np.sin(2 * np.pi * 997 * np.arange(target) / target)
    got = resample(tone, source, target)
    inner = slice(target // 10, -target // 10)
    np.testing.assert_allclose(got[inner], expected[inner], atol=1e-4)


@pytest.mark.parametrize("rate", [44_100, 48_000])
def test_low_latency_lags_less_than_15_ms_and_without_bursts(rate: int) -> None:
    resampler = StreamResampler(rate, 16_000, low_latency=True)
    step = rate // 100
    got = 0
    for k in range(1, 200):
        got += len(resampler.process(np.zeros(step, np.float32)))
        lag = k * step / rate - got / 16_000
        assert lag < 0.015, f"after {k} chunks"


def test_equal_rates_pass_through_untouched() -> None:
    sound = np.arange(5, dtype=np.float32)
    resampler = StreamResampler(16_000, 16_000)
    np.testing.assert_array_equal(resampler.process(sound), sound)
    assert len(resampler.flush()) == 0


def test_after_flush_and_reset_a_new_stream_begins() -> None:
    sound = np.random.default_rng(0).standard_normal(4_800).astype(np.float32)
    fresh = resample(sound, 48_000, 16_000)
    used = StreamResampler(48_000, 16_000)
    used.process(sound[:1000])
    used.flush()
    np.testing.assert_array_equal(np.concatenate([used.process(sound), used.flush()]), fresh)
    used.process(sound[:1000])
    used.reset()
    np.testing.assert_array_equal(np.concatenate([used.process(sound), used.flush()]), fresh)


def test_bad_rate() -> None:
    with pytest.raises(ValueError, match="positive"):
        StreamResampler(0, 16_000)


def test_frames_in_are_frames_out_and_only_late_by_the_resamplers_delay() -> None:
    time = np.arange(24_000) / 24_000
    chirp = np.sin(2 * np.pi * (100 + 1000 * time) * time).astype(np.float32)
    frames = FrameResampler(24_000, 16_000, 320)
    out = [frames.process(chirp[i : i + 480]) for i in range(0, 24_000, 480)]
    assert {len(frame) for frame in out} == {320}
    got, want = np.concatenate(out), resample(chirp, 24_000, 16_000)
    late = int(np.argmax(np.correlate(got, want[:8000], "valid")))
    assert 0 < late / 16_000 <= 0.020
    assert np.corrcoef(got[late : late + 8000], want[:8000])[0, 1] > 0.99
