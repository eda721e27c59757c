from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from audio_io.errors import AudioError
from audio_io.signal import SpeechDetector
from audio_io.vad import SileroVad, WebRtcVad
from covo_cli.bench.vad import measure

RATE = 16_000


def vowels(rate: int, seconds: float = 1.2) -> np.ndarray:
    """A buzz at 120 Hz through formants that move: voiced sound, as a detector sees it."""
    n = round(rate * seconds)
    time = np.arange(n) / rate
    sound = np.zeros(n)
    for k in range(1, 30):
        pitch = 120.0 * k
        first, second = 500 + 200 * np.sin(2 * np.pi * 2 * time), 1500.0
        weight = np.exp(-(((pitch - first) / 200) ** 2)) + 0.5 * np.exp(
            -(((pitch - second) / 300) ** 2)
        )
        sound += weight * np.sin(2 * np.pi * pitch * time)
    return (0.3 * sound / np.abs(sound).max()).astype(np.float32)


def frames(sound: np.ndarray) -> list[np.ndarray]:
    return [sound[at : at + 320] for at in range(0, len(sound) // 320 * 320, 320)]


def test_webrtc_tells_silence_from_voice_and_averages_its_votes() -> None:
    detector = WebRtcVad(aggressiveness=3, smoothing=4)
    silence = [detector.process(frame) for frame in frames(np.zeros(8000, np.float32))]
    assert silence == [0.0] * 25
    voice = [detector.process(frame) for frame in frames(vowels(RATE))]
    assert max(voice) == 1.0
    assert set(voice) <= {0.0, 0.25, 0.5, 0.75, 1.0}
    detector.reset()
    assert detector.process(np.zeros(320, np.float32)) == 0.0


def test_webrtc_bad_arguments() -> None:
    with pytest.raises(ValueError, match="aggressiveness"):
        WebRtcVad(4)
    with pytest.raises(ValueError, match="smoothing"):
        WebRtcVad(smoothing=0)
    with pytest.raises(ValueError, match="320"):
        WebRtcVad().process(np.zeros(160, np.float32))


def test_webrtc_clips_what_is_too_loud() -> None:
    assert 0.0 <= WebRtcVad().process(np.full(320, 3.0, np.float32)) <= 1.0


@pytest.mark.parametrize("model", [b"this is no network", Path("/does/not/exist.onnx")])
def test_silero_says_what_is_wrong_with_its_model(model: bytes | Path) -> None:
    with pytest.raises(AudioError, match="cannot load"):
        SileroVad(model)


class Loudness:
    """Calls everything above a level speech, ``late`` frames after it began."""

    def __init__(self, level: float, late: int = 0) -> None:
        self._level = level
        self._late = late
        self._loud = 0

    def process(self, samples: np.ndarray) -> float:
        loud = float(np.sqrt(np.mean(samples**2))) > self._level
        self._loud = self._loud + 1 if loud else 0
        return float(self._loud > self._late)

    def reset(self) -> None:
        self._loud = 0


class Deaf:
    def process(self, samples: np.ndarray) -> float:
        return 0.0

    def reset(self) -> None:
        pass


def test_the_measurement_measures() -> None:
    """On detectors whose figures are known beforehand."""
    detectors: dict[str, SpeechDetector] = {
        "prompt": Loudness(0.002),
        "late": Loudness(0.002, late=5),
        "deaf": Deaf(),
    }
    figures = measure(
        {name: lambda made=made: made for name, made in detectors.items()},
        lambda text: vowels(24_000),
        sentences=("one", "two", "three"),
        noise_seconds=6.0,
    )["detectors"]
    prompt, late, deaf = (figures[name] for name in ("prompt", "late", "deaf"))
    assert prompt["noise"]["white noise -60 dBFS"]["share"] == 0.0
    assert prompt["noise"]["white noise -40 dBFS"] == {
        "share": 1.0,
        "starts_per_minute": 10.0,
        "turns_per_minute": 10.0,
    }
    clean = prompt["speech"]["clean"]
    assert (clean["frames_missed"], clean["utterances_missed"]) == (0.0, 0)
    assert (clean["onset_ms_median"], clean["onset_ms_max"]) == (20.0, 20.0)
    assert clean["offset_ms_median"] <= 20.0
    assert late["speech"]["clean"]["onset_ms_median"] == 120.0
    assert late["speech"]["clean"]["frames_missed"] == pytest.approx(5 / 60, abs=0.02)
    assert prompt["speech"]["0 dB"]["offset_ms_median"] > 1000, "the noise keeps it on"
    assert deaf["speech"]["clean"]["utterances_missed"] == 3
    assert deaf["speech"]["clean"]["frames_missed"] == 1.0
    assert deaf["speech"]["clean"]["onset_ms_median"] is None
    assert all(noise["share"] == 0.0 for noise in deaf["noise"].values())


@pytest.fixture(scope="module")
def silero_model() -> Path:
    from covo_cli.settings.settings import load_settings, models_dir
    from model.weights.packages import WeightStore

    return WeightStore(models_dir(load_settings())).path("silero-vad", "silero_vad_16k.onnx")


@pytest.mark.weights
def test_silero_hears_speech_and_no_noise(silero_model: Path) -> None:
    from hibari import Hibari

    from audio_io.resample import resample

    speech = resample(Hibari()("Tell me something about the moon.", seed=1), 24_000, RATE)
    noise = 0.05 * np.random.default_rng(0).standard_normal(3 * RATE).astype(np.float32)
    detector = SileroVad(silero_model)
    heard = [detector.process(frame) for frame in frames(speech)]
    assert max(heard) > 0.9
    assert np.mean(np.array(heard) > 0.5) > 0.5
    detector.reset()
    assert max(detector.process(frame) for frame in frames(noise)) < 0.5


@pytest.mark.weights
def test_silero_reset_forgets_and_frames_do_not_matter(silero_model: Path) -> None:
    sound = vowels(RATE)
    detector = SileroVad(silero_model.read_bytes())
    first = [detector.process(frame) for frame in frames(sound)]
    detector.reset()
    assert [detector.process(frame) for frame in frames(sound)] == first
    detector.reset()
    assert detector.process(sound[: len(sound) // 320 * 320]) == pytest.approx(first[-1], abs=1e-6)
