"""The figures of voices: what is timed, and what it is compared with."""

from __future__ import annotations

import io
import json
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from rich.console import Console
from typer.testing import CliRunner

from audio_io.clock import ASSISTANT_RATE
from audio_io.signal import Audio
from covo_cli.app import app
from covo_cli.bench import lite
from covo_cli.bench import voices as bench
from covo_cli.bench.goals import Figures, judge
from covo_cli.bench.voices import CLAUSES, GOALS, measure_voice, time_swap, voices_table
from covo_cli.errors import CliError
from model.hearing.identity.profile import Embedding
from model.lite.kokoro.head_start import HeadStart
from model.lite.synthesizer import SpokenPiece
from tests.fakes.engine import FakeClock, FakeRecognizer
from tests.fakes.lite import FakeSynthesizer
from voices.errors import VoiceError


class Slow(FakeSynthesizer):
    """Takes 0.1 s to load and for each of two pieces, and 0.15 s for a whole; a second for the
    first of either. Says everything for 2 s, in pieces half as loud."""

    def __init__(self, clock: FakeClock) -> None:
        super().__init__()
        self.clock = clock
        self.done: list[str] = []

    def _pass(self, seconds: float, what: str) -> None:
        self.clock.pass_time(seconds if what in self.done else 1.0)
        self.done.append(what)

    def load(self) -> None:
        self.clock.pass_time(0.1)

    def say(self, clause: str) -> Audio:
        self._pass(0.15, "whole")
        return np.ones(2 * ASSISTANT_RATE, np.float32)

    def pieces(self, clause: str, start: HeadStart[Any]) -> Iterator[SpokenPiece]:
        for share in (0.5, 1.0):
            self._pass(0.1, "piece")
            yield SpokenPiece(np.full(ASSISTANT_RATE, 0.5, np.float32), share)


class ByLevel:
    """The embedding of a sound points where its level says."""

    name = "levels"

    def load(self) -> None:
        pass

    def embed(self, speech: Audio) -> Embedding:
        angle = np.arccos(0.8) * float(speech.mean()) * 2
        return np.array([np.cos(angle), np.sin(angle)], np.float32)


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> FakeClock:
    clock = FakeClock()
    monkeypatch.setattr(bench, "time", SimpleNamespace(perf_counter=clock))
    return clock


def test_a_voice_is_timed_in_pieces_and_as_a_whole(clock: FakeClock) -> None:
    voice, said = Slow(clock), iter(("Yes, I can help you with this.", "Good morning."))
    recognizer = FakeRecognizer(clock, lambda audio: next(said), cost=9.0)

    def memory() -> float:
        assert voice.done == ["piece"] * 4  # what makes a whole is not loaded yet
        return 612.4

    clauses = ("Yes, I can help you with that.", "Good morning.")
    figures = measure_voice(voice, recognizer, ByLevel(), clauses, memory)
    assert figures["in_pieces"]["first_sound"] == {"median": 0.55, "p90": 0.91, "max": 1.0}
    assert figures["in_pieces"]["last_sound"]["max"] == 1.1
    assert figures["in_pieces"]["real_time_factor"] == pytest.approx((1.1 + 0.2) / 4)
    assert figures["whole"]["first_sound"] == {"median": 0.15, "p90": 0.15, "max": 0.15}
    assert figures["whole"]["real_time_factor"] == pytest.approx(0.3 / 4)
    assert list(figures["likeness"].values()) == pytest.approx([0.8, 0.8], abs=0.002)
    assert figures["word_error_rate"] == pytest.approx(1 / 9, abs=1e-4)
    assert figures["memory_mb"] == 612
    assert figures["understood"][0] == "Yes, I can help you with this."


def test_a_swap_costs_what_its_first_reply_takes_longer(clock: FakeClock) -> None:
    old, new = Slow(clock), Slow(clock)
    assert time_swap(old, new, "Hello.") == {"load": 0.1, "first_reply": pytest.approx(0.9)}
    assert old.done == ["piece"] * 2
    assert time_swap(old, old, "Hello.") == {"load": 0.1, "first_reply": 0}


def made_up(first: float, swap: float) -> dict[str, object]:
    times = {"first_sound": {"median": first, "p90": first, "max": 2 * first}}
    return {
        "synthesiser": "made up",
        "in_pieces": {**times, "real_time_factor": 0.6},
        "whole": {**times, "real_time_factor": 0.6},
        "likeness": {"median": 0.97, "lowest": 0.9},
        "word_error_rate": 0.021,
        "memory_mb": 700,
        "swap": {"load": 0.3, "first_reply": swap},
    }


def test_the_goals_hold_for_the_worst_voice() -> None:
    figures = {"voices": {"anna": made_up(0.3, 0.2), "otto": made_up(0.6, -0.01)}}
    judged = judge(GOALS, figures, counts=True)
    assert [goal["measured"] for goal in judged] == [0.6, 0.2, 700]
    assert [goal["met"] for goal in judged] == [False, False, True]
    console = Console(file=io.StringIO(), width=120)
    console.print(voices_table(figures))
    shown = console.file.getvalue().splitlines()
    otto = next(line for line in shown if "otto" in line)
    assert otto.replace("│", " ").split() == [
        *("otto", "0.60", "1.20", "0.60", "0.60", "0.97", "2.1%", "700", "0.30", "-0.01"),
    ]


def test_the_command_measures_english_voices_and_writes_json(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COVO_CONFIG", str(tmp_path / "config.toml"))
    monkeypatch.setenv("COVO_DATA_DIR", str(tmp_path / "data"))
    asked: list[tuple[list[str], int]] = []
    broken_off: list[bool] = []

    def measure(_: object, voices: list[str], count: int, progress: object) -> Iterator[Figures]:
        asked.append((voices, count))
        for number in range(1, len(voices) + 1):
            figures = {"voices": dict.fromkeys(voices[:number], made_up(0.3, 0.01))}
            yield {**figures, "goals": judge(GOALS, figures, counts=True)}
            if broken_off:
                raise KeyboardInterrupt

    monkeypatch.setattr(lite, "bench_voices", measure)
    runner, file = CliRunner(), tmp_path / "voices.json"
    words = ["bench", "voices", "--json", str(file)]
    result = runner.invoke(app, [*words, "--voice", "emma", "--voice", "heart", "--clauses", "2"])
    assert result.exit_code == 0, result.output
    assert set(json.loads(file.read_text())["voices"]) == {"emma", "heart"}
    runner.invoke(app, words)
    assert asked[0] == (["emma", "heart"], 2)
    assert (len(asked[1][0]), asked[1][1]) == (28, 20)
    broken_off.append(True)
    assert runner.invoke(app, [*words, "--voice", "emma", "--voice", "heart"]).exit_code
    assert set(json.loads(file.read_text())["voices"]) == {"emma"}
    for name, kind, message in (
        ("xiaoxiao", CliError, "xiaoxiao cannot say the clauses: name English or Spanish"),
        ("gorge", VoiceError, "no voice 'gorge'; did you mean george?"),
    ):
        result = runner.invoke(app, ["bench", "voices", "--voice", name])
        assert isinstance(result.exception, kind)
        assert message in str(result.exception)
    assert len(asked) == 3


def test_the_clauses_differ_and_none_is_too_short_to_be_compared() -> None:
    for clauses in CLAUSES.values():
        assert len(set(clauses)) == len(clauses) == 20
        assert min(len(clause.split()) for clause in clauses) >= 6
