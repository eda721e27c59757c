"""The plain chain: what each model is given, what counts, and what latencies are divided by."""

from __future__ import annotations

from collections.abc import Iterator
from types import SimpleNamespace

import numpy as np
import pytest

from audio_io.clock import samples
from audio_io.signal import Audio
from covo_cli.bench import chain as plain
from covo_cli.bench.chain import SILENCE_S, ChainTime, PlainChain, chain_figures
from covo_cli.bench.conversation import beside_chain
from covo_cli.errors import CliError
from model.lite.prompt import Prompt, build_messages
from model.lite.synthesizer import SpokenPiece
from tests.fakes.engine import FakeClock, FakeRecognizer, LevelDetector, silence, speech
from tests.fakes.lite import FakeChat, FakeSynthesizer

PROMPT = Prompt("You are brief.")


class Timed:
    """A chain whose models take 0.2 s to recognise, 0.1 s a word and 0.05 s to speak."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, understood: str = "Why is that?") -> None:
        self.clock = FakeClock()
        monkeypatch.setattr(plain, "time", SimpleNamespace(perf_counter=self.clock))
        self.heard: list[Audio] = []
        self.chat = FakeChat("Because it is so, and always was. It will stay so.")
        self.voice = FakeSynthesizer()
        words, pieces = self.chat.stream, self.voice.alone
        self.written: list[str] = []

        def stream(messages, cancelled):
            for word in words(messages, cancelled):
                if cancelled():
                    return
                self.clock.pass_time(0.1)
                self.written.append(word)
                yield word

        def slowly(clause: str) -> Iterator[SpokenPiece]:
            self.clock.pass_time(0.05)
            return pieces(clause)

        def words_of(audio: Audio) -> str:
            self.heard.append(audio)
            return understood

        monkeypatch.setattr(self.chat, "stream", stream)
        monkeypatch.setattr(self.voice, "alone", slowly)
        recognizer = FakeRecognizer(self.clock, words_of, cost=0.2)
        questions = [np.concatenate([speech(n), silence(0.5)]) for n in (1.0, 2.0)]
        self.chain = PlainChain(
            LevelDetector(), recognizer, self.chat, PROMPT, self.voice, questions
        )


def test_the_models_work_one_after_another_up_to_the_first_clause(monkeypatch):
    timed = Timed(monkeypatch)
    time = timed.chain.time()
    assert (time.recognize, time.write, time.speak) == pytest.approx((0.2, 0.5, 0.05))
    assert time.total == pytest.approx(SILENCE_S + 0.75)
    assert timed.voice.said == ["Because it is so, "]
    assert "".join(timed.written) == "Because it is so, and"  # which shows that the clause ended


def test_the_recogniser_hears_the_speech_and_the_silence_that_is_waited_for(monkeypatch):
    timed = Timed(monkeypatch)
    for _ in range(3):
        timed.chain.time()
    lengths = [len(audio) for audio in timed.heard]
    assert lengths == [samples(n + SILENCE_S) for n in (1.0, 2.0, 1.0)]


def test_what_comes_before_the_question_is_read_ahead_as_in_a_conversation(monkeypatch):
    timed = Timed(monkeypatch)
    timed.chain.time()
    assert timed.chat.prepared == [build_messages(PROMPT, ())]
    assert timed.chat.asked == [build_messages(PROMPT, (), "Why is that?")]


def test_a_chain_that_understands_nothing_is_not_timed(monkeypatch):
    with pytest.raises(CliError, match="understood nothing"):
        Timed(monkeypatch, understood="").chain.time()


def test_latencies_are_divided_by_the_median():
    times = [ChainTime(0.0, 0.25, 0.1, write) for write in (0.1, 0.3, 2.0)]
    figures = chain_figures(times)
    assert (figures.median, figures.shortest, figures.longest) == (1.0, 0.8, 2.7)
    assert figures.parts == {
        "silence": 0.35,
        "detect": 0.0,
        "recognize": 0.25,
        "write": 0.1,
        "speak": 0.3,
    }
    conversation = {
        "listening": {"seconds": 20.0, "share_of_one_core": 0.1},
        "latency_seconds": {"median": 0.7, "p90": 1.3},
        "turns": [{"seconds": 0.7}, {"seconds": 1.3}],
    }
    both = beside_chain(conversation, chain_figures([ChainTime(0.0, 0.35, 0.2, 0.1)] * 2))
    assert both["latency_over_chain"] == {"median": 0.7, "p90": 1.3}
    assert [turn["over_chain"] for turn in both["turns"]] == [0.7, 1.3]
    assert [goal["met"] for goal in both["goals"]] == [True, False, True]
    assert both["chain_seconds"]["questions"] == 2
