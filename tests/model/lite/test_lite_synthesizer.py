"""What both synthesisers have in common, on made-up sound; and broken voices."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from onnxruntime.capi.onnxruntime_pybind11_state import Fail

from covo_cli.voices.measuring import pitch
from model.errors import SynthesizerError, WeightsError
from model.lite.kokoro.head_start import HeadStart
from model.lite.kokoro.network import KokoroModel
from model.lite.synthesizer import (
    LEVEL_DB,
    HibariSynthesizer,
    KokoroSynthesizer,
    SpokenPiece,
    Synthesizer,
    load_style,
    speaking_level,
)
from model.lite.text.phonemes import Phonemizer
from model.playback.edges import Edges
from model.playback.limiter import PEAK, Limiter, louder_by
from voices.lite_data import STATISTICS_SIZE
from voices.tuning import AS_IT_IS, VoiceTuning

RATE = 24_000


class Letters(Phonemizer):
    """Every letter is its own phoneme."""

    def pieces(self, text: str) -> list[str]:
        return [text]


class ToneSynthesizer(Synthesizer):
    """0.3 s of silence, a tone of 0.1 s for each phoneme, 0.5 s of silence."""

    def __init__(
        self,
        amplitude: float,
        spike: float = 0.0,
        level: float | None = None,
        tuning: VoiceTuning = AS_IT_IS,
    ) -> None:
        super().__init__(Letters(), level, tuning)
        self.amplitude = amplitude
        self.spike = spike
        self.said: list[str] = []

    def _load(self) -> None:
        self.said.append("(load)")

    def _unload(self) -> None:
        self.said.append("(unload)")

    def _speak(self, phonemes: str, start: HeadStart[Any] | None) -> Iterator[SpokenPiece]:
        self.said.append(phonemes)
        t = np.arange(RATE // 10 * len(phonemes)) / RATE
        tone = self.amplitude * np.sin(2 * np.pi * 200 * t)
        if len(self.said) > 2:  # not in the calibration
            tone[len(tone) // 2] += self.spike
        yield SpokenPiece(np.pad(tone, (RATE * 3 // 10, RATE // 2)).astype(np.float32))


@pytest.mark.parametrize("amplitude", [0.003, 0.05, 0.9])
def test_all_voices_have_one_level(amplitude: float) -> None:
    sound = ToneSynthesizer(amplitude).say("Hello there.")
    assert sound.dtype == np.float32
    assert speaking_level(sound) == pytest.approx(LEVEL_DB, abs=0.3)


def test_a_voice_of_known_level_says_nothing_to_be_calibrated() -> None:
    voice = ToneSynthesizer(0.02, level=-40.0)
    voice.load()
    assert voice.said == ["(load)"]
    sound = voice.say("Hello there.")
    own = 20 * np.log10(0.02 / np.sqrt(2))
    assert speaking_level(sound) == pytest.approx(own + LEVEL_DB + 40, abs=0.3)


def test_peaks_are_kept_below_the_limit_without_clipping() -> None:
    sound = ToneSynthesizer(0.05, spike=0.9).say("Hello there.")
    assert np.max(np.abs(sound)) == pytest.approx(PEAK, rel=1e-3)
    assert np.sum(np.abs(sound) > 0.95 * PEAK) == 1


def test_a_voice_is_as_much_louder_as_its_peaks_allow() -> None:
    for loudness, spike, level in ((-6, 0, LEVEL_DB - 6), (6, 0, LEVEL_DB + 6), (12, 0.2, -16.2)):
        voice = ToneSynthesizer(0.05, spike=spike, tuning=VoiceTuning(loudness=loudness))
        sound = voice.say("Hello there.")
        assert speaking_level(sound) == pytest.approx(level, abs=0.3)
        assert np.max(np.abs(sound)) <= PEAK * 1.001


def test_hibari_speaks_at_the_wanted_speed_and_pitch() -> None:
    class Network:
        def from_phonemes(self, phonemes: str, speed: float, seed: int) -> np.ndarray:
            times = np.arange(round(RATE / speed)) / RATE
            return np.sin(2 * np.pi * 200 * times).astype(np.float32)

    for speed, semitones, hertz in ((0.8, 0, 200.0), (1.0, -5, 149.8), (1.25, 6, 282.8)):
        tuning = VoiceTuning(speed, semitones)
        voice = HibariSynthesizer(Path("unused"), Letters(), -20.0, tuning)
        voice._hibari = Network()
        (piece,) = voice._speak("hello", None)
        assert len(piece.samples) == pytest.approx(RATE / speed, abs=2)
        assert np.median(pitch(piece.samples)) == pytest.approx(hertz, rel=0.01)


def test_silence_is_cut_and_the_pause_follows_the_punctuation() -> None:
    lengths = {end: len(ToneSynthesizer(0.1).say("abcdefghi" + end)) / RATE for end in ".,"}
    # ten phonemes of 0.1 s, 30 ms before, 60 ms and the pause after
    assert lengths["."] == pytest.approx(1.0 + 0.09 + 0.28, abs=0.011)
    assert lengths[","] == pytest.approx(1.0 + 0.09 + 0.12, abs=0.011)


def test_nothing_to_say_is_not_synthesised() -> None:
    voice = ToneSynthesizer(0.1)
    assert len(voice.say("😀 ...")) == 0
    assert voice.said == []


def test_it_loads_once_and_can_be_loaded_again() -> None:
    voice = ToneSynthesizer(0.1)
    voice.load()
    voice.load()
    voice.say("**Hi** you.")
    voice.close()
    voice.say("Again.")
    assert [s for s in voice.said if s.startswith("(")] == ["(load)", "(unload)", "(load)"]
    assert "Hi you." in voice.said


def test_a_text_is_streamed_clause_by_clause() -> None:
    voice = ToneSynthesizer(0.1)
    voice.load()
    stream = voice.stream("This is the first one, and here is more. 😀")
    next(stream)
    assert voice.said[2:] == ["This is the first one,"]
    assert len(list(stream)) == 1
    assert voice.said[3:] == ["and here is more."]


def test_what_has_no_silence_around_it_stays() -> None:
    tone = np.sin(np.arange(RATE) / 20).astype(np.float32)
    cut = Edges(-30.0).cut(tone, over=True)
    assert len(cut) == len(tone)
    np.testing.assert_array_equal(cut[RATE // 4 : RATE // 2], tone[RATE // 4 : RATE // 2])
    assert len(Edges(-30.0).cut(np.zeros(0, np.float32), over=True)) == 0


def syllables() -> np.ndarray:
    """0.31 s of faint noise, two tones of 0.4 s with 0.35 s between them, 0.5 s of faint noise."""
    noise = np.random.default_rng(0).normal(0, 1e-4, RATE * 196 // 100).astype(np.float32)
    tone = 0.3 * np.sin(np.arange(RATE * 4 // 10) / 20)
    for begin in (0.31, 1.06):
        at = round(begin * RATE)
        noise[at : at + len(tone)] += tone.astype(np.float32)
    return noise


@pytest.mark.parametrize("pieces", [2, 3, 5, 9, 40])
def test_edges_of_pieces_are_those_of_the_whole(pieces: int) -> None:
    sound = syllables()
    whole = Edges(-30.0).cut(sound, over=True)
    assert len(whole) / RATE == pytest.approx(0.03 + 0.4 + 0.35 + 0.4 + 0.06, abs=0.011)
    edges = Edges(-30.0)
    parts = np.array_split(sound, pieces)
    cut = np.concatenate([edges.cut(p, over=n == pieces) for n, p in enumerate(parts, 1)])
    # The blocks of 10 ms, which are loud or not, begin elsewhere.
    assert abs(len(cut) - len(whole)) <= RATE // 100
    fade, same = RATE // 100, min(len(cut), len(whole)) - RATE // 50
    np.testing.assert_array_equal(cut[fade : fade + same], whole[fade : fade + same])
    assert abs(cut[0]) < 1e-4
    assert abs(cut[-1]) < 1e-4


def test_silence_before_a_clause_is_not_its_first_piece() -> None:
    edges = Edges(-30.0)
    assert len(edges.cut(syllables()[: RATE * 3 // 10], over=False)) == 0
    first = edges.cut(syllables()[RATE * 3 // 10 : RATE // 2], over=False)
    # 30 ms before the tone, and all of it but what would fade out.
    assert len(first) / RATE == pytest.approx(0.03 + 0.19 - 0.01, abs=0.011)


def test_pieces_are_lowered_without_a_jump() -> None:
    limiter, rng = Limiter(), np.random.default_rng(1)
    pieces = [rng.uniform(-0.5, 0.5, 2400).astype(np.float32) for _ in range(4)]
    pieces[1][1200] = 2.0
    pieces[2][600] = 1.2
    made = [limiter.limit(piece) for piece in pieces]
    gains = np.concatenate(made) / np.concatenate(pieces)
    assert max(np.max(np.abs(piece)) for piece in made) == pytest.approx(PEAK, rel=1e-5)
    np.testing.assert_allclose(gains[:2400], 1.0)
    assert np.max(gains[1:] - gains[:-1]) <= 1e-6  # never louder again
    assert np.min(gains[1:] - gains[:-1]) > -0.001  # 1 % takes 10 samples
    np.testing.assert_allclose(gains[3600:], PEAK / 2.0, rtol=1e-5)


def test_a_reply_is_made_louder_by_the_wanted_decibels_or_left_alone() -> None:
    rng = np.random.default_rng(2)
    pieces = [rng.uniform(-0.3, 0.3, 240).astype(np.float32) for _ in range(3)]
    for loudness, gain in ((6, 1.9953), (-20, 0.1)):
        louder = louder_by(loudness)
        for piece in pieces:
            made = louder(piece)
            assert made.dtype == np.float32
            np.testing.assert_allclose(made, gain * piece, rtol=1e-4)
    louder = louder_by(12)
    made = np.concatenate([louder(piece) for piece in pieces])
    assert np.max(np.abs(made)) == pytest.approx(PEAK, rel=1e-5)
    untouched = louder_by(0)
    assert untouched(pieces[0] * 9) is not None
    np.testing.assert_array_equal(untouched(pieces[0] * 9), pieces[0] * 9)


@pytest.mark.parametrize("data", [b"", b"\0" * 1024, b"\xff" * (510 * 256 * 4)])
def test_a_file_that_is_no_kokoro_voice(data: bytes, tmp_path: Path) -> None:
    file = tmp_path / "voice.bin"
    file.write_bytes(data)
    with pytest.raises(SynthesizerError, match="not a Kokoro voice"):
        load_style(file)
    with pytest.raises(SynthesizerError, match="cannot read the voice"):
        load_style(tmp_path / "missing.bin")


class Whole(KokoroModel):
    """Counts what it says in one piece and in pieces."""

    def __init__(self) -> None:
        super().__init__(lambda: Path("unused"))
        self.said: list[str] = []

    def load(self, *parts: str) -> None:
        self.said.append(" ".join(parts))

    def whole(self, numbers: list[int], style: np.ndarray, tuning: VoiceTuning) -> np.ndarray:
        self.said.append(f"whole {numbers} {style.shape}")
        return np.ones(2400, np.float32)

    def pieces(
        self,
        numbers: list[int],
        style: np.ndarray,
        held: np.ndarray,
        start: HeadStart[Any],
        tuning: VoiceTuning,
    ) -> Iterator[tuple[np.ndarray, float]]:
        self.said.append(f"pieces {numbers} {style.shape} {held[0]:g}")
        yield np.ones(2400, np.float32), 0.5
        yield np.ones(2400, np.float32), 1.0


class Numbered(Letters):
    def numbers(self, phonemes: str) -> list[int]:
        return [len(phonemes)]


def test_a_style_is_read_when_the_voice_is_first_used(tmp_path: Path) -> None:
    model = Whole()
    voice = KokoroSynthesizer(model, tmp_path / "voice.bin", Numbered(), level=-20.0)
    with pytest.raises(SynthesizerError, match="cannot read the voice"):
        voice.load()
    (tmp_path / "voice.bin").write_bytes(np.ones(510 * 256, "<f4").tobytes())
    voice.load()
    assert voice._style is not None
    voice.close()
    assert voice._style is None


def test_a_clause_comes_in_pieces_if_the_statistics_of_the_voice_are_known(tmp_path: Path) -> None:
    model, file = Whole(), tmp_path / "voice.statistics.npy"
    (tmp_path / "voice.bin").write_bytes(np.ones(510 * 256, "<f4").tobytes())
    voice = KokoroSynthesizer(model, tmp_path / "voice.bin", Numbered(), level=-20.0)
    assert len(list(voice.alone("Hello there."))) == 1
    assert model.said == ["features whole", "whole [12] (1, 256)"]
    voice.close()
    np.save(file, np.outer([7, 20], np.ones(1 + STATISTICS_SIZE)).astype(np.float16))
    pieces = list(voice.alone("Hello there."))
    assert [piece.share for piece in pieces] == [0.5, 1.0]
    assert model.said[2:] == ["features pieces", "pieces [12] (1, 256) 7"]
    voice.close()
    file.write_bytes(b"damaged")
    with pytest.raises(SynthesizerError, match=r"voice\.statistics\.npy is not a numpy array"):
        voice.load()


class Failing(Phonemizer):
    """Its converter, and whatever else is made of it, raises as onnxruntime does."""

    @property
    def g2p(self) -> Any:
        return fail


def fail(*_: object, **__: object) -> object:
    # onnxruntime's own errors derive from Exception and from nothing else.
    raise Fail("[ONNXRuntimeError] : 1 : FAIL :\n the disk is gone")


def one_line(error: pytest.ExceptionInfo[SynthesizerError]) -> str:
    message = str(error.value)
    assert "\n" not in message
    return message


def test_a_kokoro_network_that_is_none(tmp_path: Path) -> None:
    broken = tmp_path / "broken.onnx"
    broken.write_bytes(b"not a network")
    with pytest.raises(SynthesizerError, match="cannot load Kokoro") as raised:
        KokoroModel(lambda: broken).load()
    one_line(raised)
    with pytest.raises(SynthesizerError, match="cannot load Kokoro"):
        KokoroModel(lambda: tmp_path / "missing.onnx").load()


def test_weights_that_are_missing_are_reported_as_such() -> None:
    def missing() -> Path:
        raise WeightsError("fetch them")

    with pytest.raises(WeightsError, match="fetch them"):
        KokoroModel(missing).load()


def test_a_hibari_network_that_is_none(tmp_path: Path) -> None:
    broken = tmp_path / "broken.onnx"
    broken.write_bytes(b"not a network")
    with pytest.raises(SynthesizerError, match="cannot load hibari") as raised:
        HibariSynthesizer(broken, Failing()).load()
    one_line(raised)


def test_networks_that_fail_in_mid_conversation() -> None:
    class Session:
        run = staticmethod(fail)
        from_phonemes = staticmethod(fail)

    kokoro = KokoroModel(lambda: Path("unused"))
    kokoro._parts = {"features": Session(), "whole": Session()}
    with pytest.raises(SynthesizerError, match=r"Kokoro failed: .* the disk is gone") as raised:
        kokoro.whole([1, 2], np.zeros((1, 256), np.float32))
    one_line(raised)
    hibari = HibariSynthesizer(Path("unused"), Letters())
    hibari._hibari, hibari._gain = Session(), 1.0
    with pytest.raises(SynthesizerError, match=r"hibari failed: .* the disk is gone") as raised:
        hibari.say("Hello.")
    one_line(raised)


def test_words_that_the_converter_chokes_on(caplog: pytest.LogCaptureFixture) -> None:
    with pytest.raises(SynthesizerError, match="cannot pronounce 'Hello'") as raised:
        Failing().pieces("Hello")
    one_line(raised)
    assert "cannot pronounce 'Hello'\nTraceback" in caplog.text
