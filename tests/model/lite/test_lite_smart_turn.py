"""Smart Turn: what it hears, and that it tells a question from a phrase that breaks off."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from audio_io.signal import Audio
from covo_cli.settings.settings import load_settings, models_dir
from model.errors import EndOfTurnError, WeightsError
from model.lite import smart_turn
from model.lite.mel import Mel, log_mel
from model.lite.smart_turn import WINDOW, SmartTurn, features
from model.weights.packages import WeightStore

RNG = np.random.default_rng(8)


def test_it_hears_the_end_of_a_long_turn_and_silence_before_a_short_one() -> None:
    long = RNG.normal(0, 0.1, WINDOW + 5000).astype(np.float32)
    np.testing.assert_array_equal(features(long), features(long[-WINDOW:]))
    short = long[:16_000]
    padded = np.concatenate([np.zeros(WINDOW - 16_000, np.float32), short])
    np.testing.assert_array_equal(features(short), features(padded))
    assert features(short).shape == (80, 800)


def test_the_level_does_not_matter() -> None:
    sound = RNG.normal(0, 0.1, 40_000).astype(np.float32)
    np.testing.assert_allclose(features(sound), features(sound * 0.1), atol=1e-3)


def test_it_hears_zero_mean_and_unit_variance() -> None:
    sound = RNG.normal(0.3, 0.1, WINDOW).astype(np.float32)
    normal = (sound - sound.mean()) / sound.std()
    np.testing.assert_allclose(features(sound), log_mel(normal, WINDOW), atol=1e-3)


def test_the_silence_before_a_short_turn_is_not_computed(monkeypatch: pytest.MonkeyPatch) -> None:
    sound = RNG.normal(0.3, 0.1, 30_001).astype(np.float32)
    padded = np.pad(sound, (WINDOW - len(sound), 0))
    whole = log_mel((padded - padded.mean()) / padded.std(), WINDOW)
    computed: list[int] = []

    def counted(audio: Audio, samples: int) -> Mel:
        computed.append(samples)
        return log_mel(audio, samples)

    monkeypatch.setattr(smart_turn, "log_mel", counted)
    np.testing.assert_allclose(features(sound), whole, atol=1e-3)
    assert computed[0] < len(sound) + 1000


def test_silence_is_no_division_by_zero() -> None:
    assert np.isfinite(features(np.zeros(1000, np.float32))).all()


def test_a_file_that_is_no_network_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "broken.onnx"
    path.write_bytes(b"no network")
    with pytest.raises(EndOfTurnError, match="cannot load"):
        SmartTurn(path).load()


@pytest.fixture(scope="module")
def weights() -> WeightStore:
    return WeightStore(models_dir(load_settings()))


@pytest.mark.weights
def test_another_network_is_refused(weights: WeightStore) -> None:
    try:
        silero = weights.path("silero-vad", "silero_vad_16k.onnx")
    except WeightsError as error:
        pytest.skip(str(error))
    with pytest.raises(EndOfTurnError, match="not a Smart Turn model"):
        SmartTurn(silero).load()


@pytest.mark.weights
def test_a_question_is_over_and_a_held_um_is_not(weights: WeightStore) -> None:
    from model.lite import SynthesizerMaker
    from voices.store import VoiceStore

    try:
        model = SmartTurn(weights.path("smart-turn", "smart-turn-v3.2-cpu.onnx"))
        voice = SynthesizerMaker(weights, VoiceStore(None).get)("heart")
    except WeightsError as error:
        pytest.skip(str(error))

    def probability(text: str) -> float:
        from audio_io.resample import resample

        sound = resample(np.concatenate(list(voice.stream(text))), 24_000, 16_000)
        end = int(np.flatnonzero(np.abs(sound) > 0.01)[-1])
        return model.probability(np.pad(sound[:end], (4800, 3200)))

    assert probability("What is the capital of France?") > 0.5
    assert probability("I would like to know, um") < 0.5
    model.close()
