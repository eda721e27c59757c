"""The student of the quiz: what it does in the loop, and in the engine.

``tests/duplex_quiz`` holds a teacher and its student, trained as by ``covo fd prove``
(docs/duplex.md).
"""

from __future__ import annotations

import numpy as np
import pytest

from tests import ROOT

torch = pytest.importorskip("torch", reason="needs torch (the covo extra)")
pytest.importorskip("transformers", reason="needs transformers (the covo extra)")

from model.covo.config.precision import Precision
from model.duplex.network.loop import DuplexLoop
from model.duplex.network.network import load_duplex
from model.duplex.quiz.questions import NUMBERS, QuizQuestion
from model.duplex.quiz.trials import QUIZ_BEHAVIOURS, try_quiz
from model.duplex.tones.behaviours import LoopListener
from model.duplex.tones.tones import ToneSpeaker, hum, silence
from model.events import AssistantText, Interrupted, ReplyFinished, ReplyStarted
from tests.model.duplex.duplex_talks import Talk, look_at

FOLDER = ROOT / "tests/duplex_quiz"
WHO = ToneSpeaker(220.0, 1.0, 0.1)


@pytest.fixture(scope="module")
def student():
    return load_duplex(FOLDER / "student", precision=Precision.FP32)


@pytest.fixture(scope="module")
def quiz_assistant():
    return look_at(FOLDER / "student").load(lambda stage: None)


def test_the_student_behaves_and_answers(student):
    listener = LoopListener(DuplexLoop(student))
    for behaviour in QUIZ_BEHAVIOURS:
        done = try_quiz(listener, student.profile, behaviour, 12)
        assert sum(trial.success for trial in done) >= 11, behaviour
        assert sum(trial.names for trial in done) >= 11, behaviour
        assert sum(trial.whole for trial in done) >= 10, behaviour


def test_deaf_it_never_begins(student):
    listener = LoopListener(DuplexLoop(student), deaf=True)
    for trial in try_quiz(listener, student.profile, "turn", 3):
        assert (trial.success, trial.text, trial.names, trial.whole) == (False, (), False, False)


def said(first: int, second: int, seed: int = 0) -> np.ndarray:
    return QuizQuestion(WHO, first, second, seed).sound()


def test_the_engine_waits_for_the_second_half_of_a_question(quiz_assistant):
    talk = Talk(quiz_assistant)
    first, _, second = QuizQuestion(WHO, 2, 4, 0).parts()
    talk.say(np.concatenate((silence(0.5), first, silence(1.2))))
    assert not talk.all(ReplyStarted)
    talk.say(np.concatenate((second, silence(5))))
    right = [NUMBERS[n] for n in QuizQuestion(WHO, 2, 4, 0).answer]
    assert talk.text().split() == right
    assert len(talk.all(ReplyFinished)) == 1


def test_a_hum_changes_nothing_in_the_answer(quiz_assistant):
    talk = Talk(quiz_assistant)
    talk.say(np.concatenate((silence(0.5), said(5, 1), silence(1.0))))
    talk.say(np.concatenate((hum(WHO, np.random.default_rng(0)), silence(5))))
    assert talk.text().split() == [NUMBERS[n] for n in QuizQuestion(WHO, 5, 1, 0).answer]
    assert not talk.all(Interrupted)


def test_who_interrupts_with_a_question_gets_its_answer(quiz_assistant):
    talk = Talk(quiz_assistant)
    talk.say(np.concatenate((silence(0.5), said(5, 4), silence(1.2))))
    talk.say(np.concatenate((said(0, 3, 1), silence(5))))
    assert len(talk.all(ReplyStarted)) == 2
    right = [NUMBERS[n] for n in QuizQuestion(WHO, 0, 3, 1).answer]
    texts = talk.all(AssistantText)
    last = "".join(text.delta for text in texts if text.reply == texts[-1].reply)
    assert last.split() == right
