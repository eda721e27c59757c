"""What counts as an answered question in the conversation benchmark."""

from __future__ import annotations

import numpy as np
import pytest

from audio_io.clock import samples
from audio_io.levels import span_of_sound
from covo_cli.bench import conversation as bench
from covo_cli.bench.conversation import _turns
from covo_cli.bench.goals import goals_table
from covo_cli.bench.words import word_error_rate
from covo_cli.sessions.recorder import SessionMeta, SessionRecorder
from covo_cli.sessions.transcript import TranscriptEntry, transcript
from covo_cli.simulation.scripted_user import Line, ScriptedUser
from model.events import ReplyFinished, ReplyStarted, TurnLatency, UserTranscript
from model.jobs.virtual_executor import VirtualExecutor
from model.turns.controller import TurnTakingEngine
from tests.fakes.engine import (
    FakeClock,
    FakeGenerator,
    FakeRecognizer,
    LevelDetector,
    silence,
    speech,
)

PARTS = {"wait": 0.2, "recognize": 0.3, "think": 0.1, "speak": 0.1, "decide": 0.0, "play": 0.0}
LINE = Line(np.concatenate([speech(1), silence(0.2)]), "what is it?")


def answered(end_of_speech: float) -> tuple[TranscriptEntry, ...]:
    """A question that the detector heard until ``end_of_speech`` seconds, and its answer."""
    end = samples(end_of_speech)
    return transcript(
        (
            UserTranscript(end, 1, "What is it?", True, 0, end),
            ReplyStarted(end, 1, 1),
            TurnLatency(end, 1, 1, sum(PARTS.values()), PARTS),
            ReplyFinished(end, 1, "A clock."),
        )
    )


def asked_at(*starts: float) -> ScriptedUser:
    user = ScriptedUser([LINE] * len(starts), paced=False)
    user.spoken = [(samples(s), samples(s) + len(LINE.audio)) for s in starts]
    return user


def test_latency_counts_from_the_true_end_of_the_sound():
    assert span_of_sound(LINE.audio) == (0, samples(1.0))
    # The detector let go 0.1 s late: the question ended at 6.0 s, it said 6.1 s.
    (turn,) = _turns(asked_at(5.0), answered(6.1), {1: 0})
    assert turn["seconds"] == pytest.approx(0.7 + 0.1)
    assert sum(turn["parts"].values()) == pytest.approx(turn["seconds"])


def test_a_question_that_was_cut_short_is_not_answered():
    assert _turns(asked_at(5.0), answered(5.5), {1: 0}) == []


def test_word_errors_are_counted_over_all_words():
    pairs = [("There are seven days.", "there are 7 days"), ("a cat sat here", "a cat sat")]
    assert word_error_rate(pairs) == pytest.approx(1 / 8)
    assert word_error_rate([("...", "")]) == 0
    assert word_error_rate([("把空调调到二十六度。", "把空調調到26渡")]) == pytest.approx(1 / 9)


def test_a_whole_conversation_is_measured(tmp_path, monkeypatch):
    monkeypatch.setattr(
        bench, "ScriptedUser", lambda lines, paced: ScriptedUser(lines, paced=False)
    )
    clock = FakeClock()
    generator = FakeGenerator(clock)
    hears_user = FakeRecognizer(clock, lambda audio: "What is it?")
    hears_answer = FakeRecognizer(clock, lambda audio: "one two three four")
    engine = TurnTakingEngine(
        generator, LevelDetector(), VirtualExecutor(clock), recognizer=hears_user
    )
    recorder = SessionRecorder(tmp_path, SessionMeta(generator.info, "bench", "bench"))
    figures = bench.measure_conversation(engine, [LINE, LINE], hears_answer, recorder)
    assert (figures["questions"], figures["answered"], figures["interruptions"]) == (2, 2, 0)
    assert figures["word_error_rate_of_answers"] == 0
    assert figures["word_error_rate_of_questions"] == 0
    assert [answer["written"].strip() for answer in figures["answers"]] == [
        "one two three four"
    ] * 2
    assert figures["latency_seconds"]["median"] > 0


def test_goals_are_bounded_from_above_or_from_below():
    goals = [
        {"goal": "latency", "most": 0.8, "measured": 0.85, "met": False},
        {"goal": "words", "least": 0.95, "measured": 1.0, "met": True},
        {"goal": "memory", "most": 800, "measured": None, "met": None},
    ]
    table = goals_table({"goals": goals}, "Goals")
    rows = list(zip(*(column.cells for column in table.columns), strict=True))
    assert rows == [
        ("latency", "<= 0.8", "0.85", "MISSED"),
        ("words", ">= 0.95", "1", "met"),
        ("memory", "<= 800", "not measured", ""),
    ]
