"""Around the recogniser: long audio, loops of the decoder, silence."""

from __future__ import annotations

import sys
import threading
import time
import weakref
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

from audio_io.clock import USER_RATE
from audio_io.levels import FLOOR_DB
from model.errors import RecognizerError
from model.hearing.recognition import Transcript
from model.jobs.shared import Shared
from model.lite.recognizer import (
    LoadedWhisper,
    WhisperRecognizer,
    loudest,
    repeats,
    split_at_pauses,
    windows,
)


@pytest.mark.parametrize("seconds", [1, 29, 31, 75, 200])
def test_long_audio_is_split_and_nothing_is_lost(seconds: int) -> None:
    audio = np.random.default_rng(seconds).standard_normal(seconds * USER_RATE).astype(np.float32)
    pieces = split_at_pauses(audio)
    np.testing.assert_array_equal(np.concatenate(pieces), audio)
    assert all(len(piece) <= 29 * USER_RATE for piece in pieces)
    assert len(pieces) == 1 if seconds <= 29 else len(pieces) >= seconds / 29


def test_it_is_split_in_the_pause() -> None:
    audio = np.random.default_rng(0).standard_normal(40 * USER_RATE).astype(np.float32)
    audio[round(23.0 * USER_RATE) : round(23.4 * USER_RATE)] *= 0.01
    first, second = split_at_pauses(audio)
    assert 23.05 * USER_RATE < len(first) < 23.35 * USER_RATE
    assert len(first) + len(second) == len(audio)


@pytest.mark.parametrize(
    ("text", "loops"),
    [
        ("I see. I see.", True),
        ("So what is the what is the capital?", True),
        ("one two three four five six seven eight nine ten eleven twelve " * 2, True),
        ("Mi hermana compró 3 kilos de naranjas. Mi hermana compró 3 kil", True),
        ("请订阅我的频道请订阅我的频道", True),
        ("我想去北京看看长城，你觉得怎么样？我想去北京看看长城，你觉得", True),
        ("ขอบคุณครับขอบคุณครับ", True),
        ("好的好的，我们一步一步来", False),
        ("谢谢谢谢，明天是星期三，后天是星期四", False),
        ("I said that it is late, and it is late", False),
        ("What is the capital of France?", False),
        ("No, no, no!", False),
        ("It is what it is", False),
        ("", False),
    ],
)
def test_loops_of_the_decoder(text: str, loops: bool) -> None:
    assert repeats(text) is loops


def test_level_of_the_loudest_tenth_of_a_second() -> None:
    audio = np.zeros(USER_RATE, np.float32)
    assert loudest(audio) == FLOOR_DB
    audio[3200:4800] = np.sin(np.arange(1600) * 2 * np.pi * 100 / USER_RATE)
    assert loudest(audio) == pytest.approx(-3.01, abs=0.02)


def test_weights_that_are_not_there(tmp_path: Path, monkeypatch) -> None:
    with pytest.raises(RecognizerError, match="could not be loaded"):
        WhisperRecognizer(tmp_path).load()
    whole = SimpleNamespace(models=SimpleNamespace(Whisper=lambda *args, **options: object()))
    monkeypatch.setitem(sys.modules, "ctranslate2", whole)
    with pytest.raises(RecognizerError, match=r"could not be loaded: .*tokenizer.json"):
        WhisperRecognizer(tmp_path).load()


def test_what_is_not_audio_is_refused_before_loading(tmp_path: Path) -> None:
    recognizer = WhisperRecognizer(tmp_path)
    assert recognizer.transcribe(np.zeros(0, np.float32)).text == ""
    with pytest.raises(RecognizerError, match="not numbers"):
        recognizer.transcribe(np.full(USER_RATE, np.nan, np.float32))


@pytest.mark.parametrize("wanted", [True, False])
def test_final_words_wait_for_one_stage_of_partial_ones(
    monkeypatch, tmp_path: Path, wanted: bool
) -> None:
    """A partial transcript that is no longer wanted is not stopped inside the library."""
    encoding, release, dropped = (threading.Event() for _ in range(3))
    stages: list[str] = []

    class Whisper:
        """Notes its stages; the first encoding, of the long partial turn, waits."""

        n_mels = 80

        def __init__(self, path: str, **options: object) -> None:
            pass

        def encode(self, features: np.ndarray) -> str:
            name = "partial" if np.shape(features)[-1] > 1500 else "final"
            stages.append(f"encode {name}")
            if name == "partial":
                encoding.set()
                assert release.wait(30)
            return name

        def generate(self, name: str, *args: object, **options: object) -> list:
            stages.append(f"generate {name}")
            return [SimpleNamespace(sequences_ids=[[5]], scores=[0.0], no_speech_prob=0.0)]

    library = SimpleNamespace(
        models=SimpleNamespace(Whisper=Whisper),
        StorageView=SimpleNamespace(from_array=lambda array: array),
    )
    tokens = SimpleNamespace(
        token_to_id=lambda token: 1, decode=lambda ids, skip_special_tokens: " hello"
    )
    monkeypatch.setitem(sys.modules, "ctranslate2", library)
    monkeypatch.setattr("tokenizers.Tokenizer.from_file", lambda path: tokens, raising=False)
    recognizer = WhisperRecognizer(tmp_path)
    recognizer.load()
    stages.clear()
    audio = np.full(20 * USER_RATE, 0.1, np.float32)
    final: list[Transcript] = []
    partial = threading.Thread(
        target=lambda: recognizer.transcribe(audio, dropped.is_set), daemon=True
    )
    partial.start()
    assert encoding.wait(30)
    if not wanted:
        dropped.set()
    last = threading.Thread(
        target=lambda: final.append(recognizer.transcribe(audio[:USER_RATE])), daemon=True
    )
    last.start()
    while len(recognizer._order._calls) < 2:
        time.sleep(0.001)
    release.set()
    last.join(30)
    partial.join(30)
    rest = ["generate partial"] if wanted else []
    assert stages == ["encode partial", "encode final", "generate final", *rest]
    assert final[0].text == "hello"


@pytest.mark.parametrize(
    ("length", "tried"),
    [(0.5, [5, 10, 30]), (3.5, [5, 10, 30]), (6, [7.5, 10, 30]), (9, [10.5, 30]), (29, [30])],
)
def test_the_windows_begin_short_and_end_with_whispers_own(length, tried) -> None:
    assert windows(length) == tried


def test_a_loop_of_the_decoder_is_recognised_again_in_a_longer_window(monkeypatch, tmp_path):
    said = {5.0: "I see. I see.", 10.0: "I see it."}
    recognizer, tried = WhisperRecognizer(tmp_path), []

    def decode(call: int, audio: object, window: float, cancelled: object) -> Transcript:
        tried.append(window)
        return Transcript(said[window], "en")

    monkeypatch.setattr(recognizer, "load", lambda: None)
    monkeypatch.setattr(recognizer, "_decode", decode)
    assert recognizer.transcribe(np.full(USER_RATE, 0.1, np.float32)).text == "I see it."
    assert tried == [5.0, 10.0]


def test_only_a_window_of_ten_seconds_or_more_tells_noise(monkeypatch, tmp_path):
    """In a shorter one Whisper doubts faint words: "no speech" 0.38 instead of 0.05."""
    recognizer, tried = WhisperRecognizer(tmp_path), []

    def decode(call: int, audio: object, window: float, cancelled: object) -> Transcript:
        tried.append(window)
        return Transcript("")

    monkeypatch.setattr(recognizer, "load", lambda: None)
    monkeypatch.setattr(recognizer, "_decode", decode)
    assert recognizer.transcribe(np.full(USER_RATE, 0.1, np.float32)).text == ""
    assert tried == [5.0, 10.0]


def test_the_language_is_detected_unless_the_sound_does_not_tell(monkeypatch, tmp_path) -> None:
    """A sure language is believed; a hum is taken to be in the one that was heard before."""
    detected: list[dict[str, float]] = []
    prompts: list[list[str]] = []

    class Whisper:
        n_mels = 128  # as of large-v3

        def __init__(self, path: str, **options: object) -> None:
            pass

        def encode(self, features: np.ndarray) -> object:
            assert features.shape[1] == 128
            return features

        def detect_language(self, encoded: object) -> list:
            likely = detected.pop(0) if detected else {"nn": 0.95}  # of the warm-up's noise
            return [sorted(((f"<|{k}|>", p) for k, p in likely.items()), key=lambda kp: -kp[1])]

        def generate(self, encoded: object, ids: list[list[str]], **options: object) -> list:
            prompts.append(ids[0])
            noise = 0.99 if len(prompts) <= 2 else 0.0  # of the warm-up, in two windows
            score = -0.7 if len(prompts) <= 2 else -0.1
            return [SimpleNamespace(sequences_ids=[[5]], scores=[score], no_speech_prob=noise)]

    library = SimpleNamespace(
        models=SimpleNamespace(Whisper=Whisper),
        StorageView=SimpleNamespace(from_array=lambda array: array),
    )
    tokens = SimpleNamespace(
        token_to_id=lambda token: token, decode=lambda ids, skip_special_tokens: "嗯"
    )
    monkeypatch.setitem(sys.modules, "ctranslate2", library)
    monkeypatch.setattr("tokenizers.Tokenizer.from_file", lambda path: tokens, raising=False)
    recognizer = WhisperRecognizer(tmp_path, language="auto")
    recognizer.load()
    audio = np.full(2 * USER_RATE, 0.1, np.float32)
    hum = {"tr": 0.5, "zh": 0.2, "en": 0.1, "de": 0.05}
    detected += [hum, {"de": 0.95, "en": 0.05}, hum]
    assert [recognizer.transcribe(audio).language for _ in range(3)] == ["zh", "de", "de"]
    assert [prompt[1] for prompt in prompts[2:]] == ["<|zh|>", "<|de|>", "<|de|>"]
    detected.append({"zh": 0.95})
    fixed = WhisperRecognizer(tmp_path, language="en")
    assert fixed.transcribe(audio).language == "en"
    assert detected == [{"zh": 0.95}]
    long = np.concatenate([np.full(15 * USER_RATE, 0.1, np.float32)] * 2)
    detected[:] = [{"zh": 0.95}, {"zh": 0.95}]
    assert recognizer.transcribe(long) == Transcript("嗯嗯", "zh")


def test_conversations_share_what_is_loaded_and_nothing_else(monkeypatch, tmp_path: Path) -> None:
    loaded: list[weakref.ref[object]] = []
    detected = [{"de": 0.95}, {"tr": 0.5, "en": 0.2, "de": 0.1}, {"tr": 0.5, "en": 0.2, "de": 0.1}]

    class Whisper:
        n_mels = 80

        def __init__(self, path: str, **options: object) -> None:
            loaded.append(weakref.ref(self))

        def encode(self, features: np.ndarray) -> object:
            return features

        def detect_language(self, encoded: object) -> list:
            likely = detected[0]
            return [sorted(((f"<|{k}|>", p) for k, p in likely.items()), key=lambda kp: -kp[1])]

        def generate(self, encoded: object, ids: list, **options: object) -> list:
            return [SimpleNamespace(sequences_ids=[[5]], scores=[-0.1], no_speech_prob=0.0)]

    library = SimpleNamespace(
        models=SimpleNamespace(Whisper=Whisper),
        StorageView=SimpleNamespace(from_array=lambda array: array),
    )
    tokens = SimpleNamespace(
        token_to_id=lambda token: token, decode=lambda ids, skip_special_tokens: "ja"
    )
    monkeypatch.setitem(sys.modules, "ctranslate2", library)
    monkeypatch.setattr("tokenizers.Tokenizer.from_file", lambda path: tokens, raising=False)
    monkeypatch.setattr(WhisperRecognizer, "_transcribe_piece", lambda *_: None)
    shared: Shared[LoadedWhisper] = Shared()
    one, other = (WhisperRecognizer(tmp_path, language="auto", shared=shared) for _ in range(2))
    one.load()
    other.load()
    monkeypatch.undo()
    monkeypatch.setitem(sys.modules, "ctranslate2", library)
    assert len(loaded) == 1
    audio = np.full(2 * USER_RATE, 0.1, np.float32)
    assert one.transcribe(audio).language == "de"
    detected.pop(0)
    assert [spoken.transcribe(audio).language for spoken in (one, other)] == ["de", "en"]
    one.start_over()
    assert one.transcribe(audio).language == "en"
    one.close()
    assert other.transcribe(audio).text == "ja"
    other.close()
    assert loaded[0]() is None


def test_torch_keeps_its_number_of_threads(monkeypatch, tmp_path: Path) -> None:
    torch = SimpleNamespace(threads=3)
    torch.get_num_threads = lambda: torch.threads
    torch.set_num_threads = lambda number: setattr(torch, "threads", number)

    class Greedy(WhisperRecognizer):
        def _load(self) -> LoadedWhisper:
            torch.set_num_threads(6)
            return LoadedWhisper(None, None)

        def _transcribe_piece(self, audio: np.ndarray) -> Transcript:
            return Transcript("")

    monkeypatch.setitem(sys.modules, "torch", torch)
    Greedy(tmp_path).load()
    assert torch.threads == 3
