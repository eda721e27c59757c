"""The built-in voices are different people: measured on what they really say.

Each sentence is described by how its spectrum and its pitch are distributed (mel cepstrum and
fundamental frequency, numpy only), and must be closest to the other sentences of its own voice.
"""

from __future__ import annotations

from collections.abc import Callable
from itertools import combinations
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from typer.testing import CliRunner

from audio_io.clock import ASSISTANT_RATE as RATE
from covo_cli.app import app
from covo_cli.settings.settings import load_settings, models_dir
from covo_cli.voices.measuring import pitch
from model.errors import WeightsError
from model.lite.synthesizer import LEVEL_DB, speaking_level
from model.weights.packages import WeightStore
from tests.voices.said import EVERY_VOICE_SAYS, Said
from voices.store import VoiceStore

pytestmark = pytest.mark.weights

Array = NDArray[np.float64]


@pytest.fixture(scope="module")
def speak(built_in_voice_said: Said) -> Callable[[str, str], Array]:
    weights = WeightStore(models_dir(load_settings()))
    try:
        weights.path("kokoro-82m", "kokoro-v1.0.int8.onnx")
    except WeightsError as error:
        pytest.skip(str(error))
    return lambda name, text: built_in_voice_said(name, text).astype(np.float64)


def voiced_frames(sound: Array, length: int) -> Array:
    """Windowed frames every 10 ms without the quiet ones, shape (frames, length)."""
    frames = np.lib.stride_tricks.sliding_window_view(sound, length)[:: RATE // 100]
    energy = np.mean(frames**2, axis=1)
    return frames[energy > 0.05 * np.percentile(energy, 95)] * np.hanning(length)


def cepstrum(sound: Array) -> Array:
    """Mel-frequency cepstral coefficients 1 to 13, shape (frames, 13)."""
    bands = 26
    power = np.abs(np.fft.rfft(voiced_frames(sound, 600), 1024)) ** 2
    mel_80, mel_8000 = 2595 * np.log10(1 + np.array([80, 8000]) / 700)
    edges = 700 * (10 ** (np.linspace(mel_80, mel_8000, bands + 2) / 2595) - 1)
    low, middle, high = edges[:-2, None], edges[1:-1, None], edges[2:, None]
    bins = np.fft.rfftfreq(1024, 1 / RATE)
    triangles = np.minimum((bins - low) / (middle - low), (high - bins) / (high - middle))
    log_mel = np.log(power @ np.maximum(triangles, 0).T + 1e-8)
    order = np.arange(1, 14)[:, None]
    return np.asarray(log_mel @ np.cos(np.pi / bands * (np.arange(bands) + 0.5) * order).T)


def describe(sound: Array) -> Array:
    """One sentence in 28 numbers."""
    spectrum, octaves = cepstrum(sound), np.log2(pitch(sound))
    return np.concatenate([spectrum.mean(0), spectrum.std(0), [np.median(octaves), octaves.std()]])


def test_the_pitch_detector_hears_a_known_pitch() -> None:
    time = np.arange(RATE) / RATE
    for frequency in (90.0, 140.0, 220.0):
        tone = sum(np.sin(2 * np.pi * frequency * n * time) / n for n in range(1, 12))
        assert np.median(pitch(np.asarray(tone))) == pytest.approx(frequency, rel=0.01)


def test_every_sentence_is_recognised_as_its_own_voice(
    speak: Callable[[str, str], Array],
) -> None:
    names = ("bella", "emma", "george", "heart", "michael")
    sounds = [[speak(name, sentence) for sentence in EVERY_VOICE_SAYS] for name in names]
    found = np.array([[describe(sound) for sound in row] for row in sounds])
    for held_out in range(len(EVERY_VOICE_SAYS)):
        known = np.delete(found, held_out, axis=1)
        centres = known.mean(axis=1)
        spread = np.sqrt(np.mean((known - centres[:, None]) ** 2, axis=(0, 1)))
        offsets = (found[:, held_out, None] - centres[None]) / spread
        distances = np.sqrt(np.mean(offsets**2, axis=-1))
        nearest = [names[i] for i in distances.argmin(axis=1)]
        assert nearest == list(names), f"sentence {held_out}: {np.round(distances, 2)}"

    centres = found.mean(axis=1)
    spread = np.sqrt(np.mean((found - centres[:, None]) ** 2, axis=(0, 1)))
    apart = {
        (names[a], names[b]): float(np.sqrt(np.mean(((centres[a] - centres[b]) / spread) ** 2)))
        for a, b in combinations(range(len(names)), 2)
    }
    medians = {
        name: round(float(np.median(np.concatenate([pitch(s) for s in row]))), 1)
        for name, row in zip(names, sounds, strict=True)
    }
    # The same person in two synthesisers (Kokoro's af_heart and hibari's heart) came out at 0.8.
    assert min(apart.values()) > 2.0, apart
    assert medians["michael"] < medians["george"] < medians["emma"], medians


def test_two_voices_sound_as_the_library_says(speak: Callable[[str, str], Array]) -> None:
    for name in ("george", "bella"):
        pack = VoiceStore().get(name)
        sounds = [speak(name, sentence) for sentence in EVERY_VOICE_SAYS]
        heard = np.median(np.concatenate([pitch(sound) for sound in sounds]))
        assert pack.figures is not None
        assert heard == pytest.approx(pack.figures.pitch, rel=0.15), name
        levels = [speaking_level(sound.astype(np.float32)) for sound in sounds]
        # The gain is made of the level in the library.
        assert np.mean(levels) == pytest.approx(LEVEL_DB, abs=2.0), name


def test_preview_writes_a_file(speak: Callable[[str, str], Array], tmp_path: Path) -> None:
    import soundfile

    output = tmp_path / "hello.wav"
    result = CliRunner().invoke(app, ["voices", "preview", "heart", "--output", str(output)])
    assert result.exit_code == 0, result.output
    samples, rate = soundfile.read(output)
    assert rate == RATE
    assert 2.0 < len(samples) / rate < 10.0
    assert np.sqrt(np.mean(samples**2)) > 0.02
