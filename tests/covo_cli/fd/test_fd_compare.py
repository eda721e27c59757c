"""A student beside its teacher: shares, ratios, and the gates of a checkpoint."""

from __future__ import annotations

from math import exp, log

import pytest

from covo_cli.fd.judging.compare import (
    JudgedAnswer,
    MisheardWords,
    ReadAnswers,
    ReadReply,
    compare_answers,
)


def answers(right: int, wrong: int, surprise: float = 0.5, tokens: int = 10):
    return [JudgedAnswer(n < right, tokens, -surprise * tokens) for n in range(right + wrong)]


def test_an_equal_student_passes():
    found = compare_answers(list(zip(answers(48, 32), answers(48, 32), strict=True)))
    assert (found.accuracy, found.perplexity, found.length) == (1, 1, 1)
    assert found.gain is not None
    assert found.gain.low < 0 < found.gain.high
    assert found.missed == ()


def test_what_a_student_lost_is_told():
    worse = answers(40, 40, surprise=0.5 + log(1.2), tokens=5)
    found = compare_answers(list(zip(answers(48, 32), worse, strict=True)))
    assert found.accuracy == pytest.approx(40 / 48)
    assert found.gain is not None
    assert found.gain.value == pytest.approx(-0.1)
    assert found.perplexity == pytest.approx(1.2)
    assert found.length == 0.5
    assert [gate.partition(",")[0] for gate in found.missed] == [
        "accuracy 0.833",
        "perplexity 1.200",
    ]


def test_perplexity_is_per_token_not_per_answer():
    long = JudgedAnswer(None, 90, -90.0)
    short = JudgedAnswer(None, 10, -30.0)
    teacher = JudgedAnswer(None, 50, -50.0)
    found = compare_answers([(teacher, long), (teacher, short)])
    assert found.perplexity == pytest.approx(exp(120 / 100 - 1))
    assert found.accuracy is None


def test_a_student_that_often_says_nothing_is_not_kept():
    teacher, nothing = JudgedAnswer(None, 10, -5.0), JudgedAnswer(None, 0, 0.0)
    found = compare_answers([(teacher, teacher), (teacher, nothing), (teacher, teacher)])
    assert found.answered == pytest.approx(2 / 3)
    assert found.perplexity == 1.0
    assert found.missed == ("answered 0.667, must be at least 0.95",)


def test_a_student_whose_sound_says_something_else_is_not_kept():
    pytest.importorskip("jiwer", reason="needs jiwer (the eval extra)")
    pytest.importorskip("whisper_normalizer", reason="needs whisper-normalizer (the eval extra)")
    right = ReadReply("Paris is the capital of France.", "paris is the capital of France")
    wrong = ReadReply("It has ten letters.", "it has tin letters")
    nothing = ReadReply("", "")
    heard = [ReadAnswers(right, wrong), ReadAnswers(right, nothing), ReadAnswers(right, right)]
    misheard = MisheardWords.of(heard)
    assert (misheard.teacher, misheard.student) == (0.0, pytest.approx(0.1))
    equal = list(zip(answers(8, 2), answers(8, 2), strict=True))
    assert compare_answers(equal, misheard).missed == ("more misheard 0.100, must be at most 0.01",)
    assert compare_answers(equal, MisheardWords(0.05, 0.06)).missed == ()
    assert compare_answers(equal).more_misheard is None
