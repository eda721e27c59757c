"""Questions of the quiz with the right answers, and dialogues as its student reads them."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from tokenizers import Tokenizer

from model.duplex.network.network import DuplexNetwork
from model.duplex.quiz.dialogues import TaughtQuestion, draw_dialogue_questions
from model.duplex.quiz.questions import QuizQuestion, codes_of_word
from model.duplex.quiz.teacher import TaughtAnswer
from model.duplex.training.dataset import Codec, DialogueFolder
from tests import ROOT

TEACHER, STUDENT = (ROOT / "tests/duplex_quiz" / name for name in ("teacher", "student"))


def right_answer(question: QuizQuestion) -> TaughtAnswer:
    text = question.answer
    return TaughtAnswer(text, tuple(code for word in text for code in codes_of_word(word)))


def rightly_answered(*seed: int) -> list[TaughtQuestion]:
    """The questions of one dialogue, drawn by ``seed``."""
    drawn = draw_dialogue_questions(np.random.default_rng(seed))
    return [TaughtQuestion(question, right_answer(question)) for question in drawn]


def opened(folder: Path, network: DuplexNetwork) -> DialogueFolder:
    tokenizer = Tokenizer.from_file(str(STUDENT / "tokenizer.json"))
    return DialogueFolder(folder, network.grammar, tokenizer, Codec.NONE)
