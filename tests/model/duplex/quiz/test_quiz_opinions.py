"""A teacher's opinion: what a student makes of it beside the words that the teacher said."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="needs torch (the covo extra)")
pytest.importorskip("transformers", reason="needs transformers (the covo extra)")

from torch.nn import functional

from model.covo.config.precision import Precision
from model.duplex.network.network import DuplexNetwork, load_duplex
from model.duplex.protocol.grammar import Place
from model.duplex.quiz.dialogues import TaughtQuestion, draw_dialogue_questions, write_dialogues
from model.duplex.quiz.teacher import QuizTeacher
from model.duplex.training.batch import collate, hidden_states
from model.duplex.training.dataset import DialogueFolder
from model.duplex.training.judging.best import judge
from model.duplex.training.training import DuplexTrainer
from model.duplex.training.training_config import (
    DataSection,
    NetworkSection,
    TrainingConfig,
    TrainingSection,
)
from tests.model.duplex.quiz.small_quiz import STUDENT, TEACHER, opened

HESITANT = 4.0
"""The teacher of the quiz is so sure that its opinions say little more than its words: they are
those of this temperature."""


def asked(teacher: QuizTeacher, seed: int) -> list[tuple[TaughtQuestion, ...]]:
    """Sixteen dialogues' questions with the answers and opinions of a hesitant teacher."""
    drawn = [draw_dialogue_questions(np.random.default_rng((seed, n))) for n in range(16)]
    answers = iter(teacher.answer([question for some in drawn for question in some]))
    taught = []
    for some in drawn:
        both = []
        for question in some:
            answer = next(answers)
            likely = tuple(
                tuple((word, log / HESITANT) for word, log in known) for known in answer.likely
            )
            both.append(TaughtQuestion(question, replace(answer, likely=likely)))
        taught.append(tuple(both))
    return taught


@torch.inference_mode()
def divergence(network: DuplexNetwork, dialogues: DialogueFolder) -> float:
    """The mean divergence of the words that are likely to ``network`` from those that are to the
    teacher, in nats a word."""
    found = []
    for number in range(len(dialogues)):
        sample = dialogues[number]
        taught = sample.teaching
        shares = torch.from_numpy(taught.probabilities)
        words, _ = network.head(Place.TEXT)
        logits = functional.linear(hidden_states(network, collate([sample]))[taught.at - 1], words)
        logs = logits.log_softmax(dim=-1).gather(1, torch.from_numpy(taught.ids))
        found.append((torch.xlogy(shares, shares) - shares * logs).sum(dim=-1))
    return float(torch.cat(found).mean())


def test_with_its_opinion_a_student_stays_closer_to_its_teacher(tmp_path):
    """In dialogues that it never heard, and without writing other words for it."""
    teacher = QuizTeacher.load(TEACHER)
    before = load_duplex(STUDENT, precision=Precision.FP32, merge=False)
    for name, seed in (("learnt", 1), ("held out", 2)):
        write_dialogues(tmp_path / name, before.grammar, asked(teacher, seed), seed=seed)
    apart, written = {}, {}
    for share in (0.0, 0.5):
        output = tmp_path / f"student {share}"
        training = TrainingSection(
            steps=20, batch=4, learning_rate=1e-3, warm_up=5, teacher=share, save_every=100
        )
        config = TrainingConfig(
            NetworkSection(STUDENT, output, "float32"),
            DataSection(tmp_path / "learnt", keep=True),
            training,
        )
        list(DuplexTrainer(config).run())
        student = load_duplex(output, merge=False)
        held_out = opened(tmp_path / "held out", student)
        apart[share] = divergence(student, held_out)
        written[share] = judge(student, held_out).written
    assert apart[0.5] < 0.5 * apart[0.0]
    assert written[0.5] >= written[0.0] - 0.02
    assert written[0.5] >= 0.9
