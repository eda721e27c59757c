"""Prove the recipe on the quiz: teacher, its answers, dialogues, student, and controls.

Everything lies in one folder and is made once, so a stopped proof goes on. The students are
independent of each other and trained in processes of their own, each on one thread, so the result
does not depend on how many run at a time.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path

import msgspec
import numpy as np
import torch

from model.covo.config.network_config import CovoConfig
from model.duplex.protocol.grammar import Grammar
from model.duplex.protocol.profile import read_profile
from model.duplex.quiz.dialogues import (
    QUESTIONS,
    Cutting,
    TaughtQuestion,
    draw_dialogue_questions,
    write_dialogues,
)
from model.duplex.quiz.questions import SYLLABLES, QuizQuestion
from model.duplex.quiz.students import ProofRun, Tell, measure_runs, share
from model.duplex.quiz.teacher import (
    QuizTeacher,
    TaughtAnswer,
    TeacherTraining,
    train_teacher,
)
from model.duplex.quiz.trials import names_right, whole_right
from model.duplex.quiz.verdict import Proof, StudentFigures
from model.duplex.quiz.world import write_blank
from model.duplex.training.whole import write_whole
from model.errors import TrainingError
from voices.folders import make_folder

_GRADED = 100
"""Dialogues by whose questions the teacher is graded."""

_Asked = Sequence[Sequence[tuple[QuizQuestion, TaughtAnswer | None]]]
"""The questions of each dialogue with the teacher's answers."""


@dataclass(frozen=True, slots=True)
class ProofSize:
    """How much is trained and tried; the defaults are those of the whole proof.

    ``syllables``: those that are asked; the teacher learns all.
    """

    teacher: TeacherTraining = field(default_factory=TeacherTraining)
    dialogues: int = 1000
    steps: int = 700
    short_steps: int = 300
    """For controls that only have to learn to behave."""
    trials: int = 150
    controls: bool = True
    control_trials: int = 60
    syllables: tuple[int, ...] = SYLLABLES


WHOLE = ProofSize()


def prove(
    out: Path,
    size: ProofSize,
    *,
    seed: int = 0,
    jobs: int = 1,
    tell: Tell = lambda part, how_far: None,
) -> Proof:
    """Run the proof in ``out`` and write ``proof.json`` there.

    ``jobs``: processes that train students at the same time. Raises: TrainingError if ``out`` was
    begun with another size or seed, ModelError, OSError.
    """
    make_folder(out)
    _begin(out / "size.json", size, seed)
    torch.set_num_threads(1)
    _once(out / "blank", lambda folder: write_blank(folder, seed))
    _once(out / "teacher", lambda folder: _teach(out / "blank", folder, size, seed, tell))
    teacher = QuizTeacher.load(out / "teacher")
    tell("teacher", "answering")
    asked = _ask(teacher, size.dialogues, size, (seed, 1))
    taught = _usable(asked)
    dropped = size.dialogues * QUESTIONS - sum(map(len, taught))
    if not taught:
        raise TrainingError(
            f"none of the teacher's {dropped} answers can be used; delete {out} and train it longer"
        )
    grammar = Grammar(read_profile(out / "blank"), CovoConfig.read(out / "blank" / "config.json"))

    def write(
        name: str,
        dialogues: Sequence[Sequence[TaughtQuestion]],
        cutting: Cutting = Cutting.SLOTS,
    ) -> Path:
        folder = out / "dialogues" / name
        tell("dialogues", name)
        _once(
            folder,
            lambda part: write_dialogues(part, grammar, dialogues, seed=seed, cutting=cutting),
        )
        return folder

    slots = write("cut in slots", taught)
    student, said = out / "student", size.syllables
    runs = [ProofRun("student", student, out / "teacher", slots, size.steps, size.trials, said)]
    few = size.control_trials
    if size.controls:
        shuffled = write("shuffled", _shuffled(taught, seed))
        timed = write("cut by time", taught, Cutting.TIME)
        for name, source, folder, steps in (
            ("from random weights", "blank", slots, size.steps),
            ("answers shuffled", "teacher", shuffled, size.short_steps),
            ("cut by time", "teacher", timed, size.short_steps),
        ):
            runs.append(ProofRun(name, out / name, out / source, folder, steps, few, said))
    # The student in other circumstances, once it is trained.
    runs.append(ProofRun("deaf", student, student, slots, 0, few, said, deaf=True))
    figures = _measure_all(runs, out, seed, jobs, tell)
    proof = Proof(_grade(_ask(teacher, _GRADED, size, (seed, 3))), dropped, figures)
    text = json.dumps({**asdict(proof), "goals": [asdict(g) | {"met": g.met} for g in proof.goals]})
    write_whole(out / "proof.json", f"{text}\n".encode())
    return proof


def _begin(path: Path, size: ProofSize, seed: int) -> None:
    """Note at ``path`` what is proved. Raises: TrainingError if it was something else."""
    text = json.dumps({**asdict(size), "seed": seed}).encode()
    if not path.exists():
        write_whole(path, text)
    elif path.read_bytes() != text:
        raise TrainingError(
            f"{path.parent} was begun with another size or seed; delete it, or name another"
        )


def _teach(blank: Path, folder: Path, size: ProofSize, seed: int, tell: Tell) -> None:
    shutil.copytree(blank, folder)
    for step, total in enumerate(train_teacher(blank, folder, size.teacher, seed), start=1):
        tell("teacher", f"step {step} of {size.teacher.steps}, loss {total:.3f}")


def _ask(teacher: QuizTeacher, dialogues: int, size: ProofSize, seed: tuple[int, int]) -> _Asked:
    """Let ``teacher`` answer the questions of so many ``dialogues``, drawn by ``seed``."""
    drawn = [
        draw_dialogue_questions(np.random.default_rng((*seed, number)), size.syllables)
        for number in range(dialogues)
    ]
    answers = iter(teacher.answer([one for some in drawn for one in some], seed[0]))
    return [[(one, next(answers)) for one in some] for some in drawn]


def _usable(asked: _Asked) -> list[tuple[TaughtQuestion, ...]]:
    """Return the dialogues with what was answered in them; those without an answer are left out."""
    taught = (
        tuple(TaughtQuestion(one, answer) for one, answer in some if answer is not None)
        for some in asked
    )
    return [some for some in taught if some]


def _shuffled(
    dialogues: Sequence[Sequence[TaughtQuestion]], seed: int
) -> list[tuple[TaughtQuestion, ...]]:
    """Return ``dialogues`` with the answers dealt anew among all questions."""
    answers = [one.answer for some in dialogues for one in some]
    order = iter(np.random.default_rng((seed, 2)).permutation(len(answers)))
    return [
        tuple(replace(one, answer=answers[int(next(order))]) for one in some) for some in dialogues
    ]


def _grade(asked: _Asked) -> tuple[float, float]:
    """Return the shares of questions that the teacher answers with the right names, and right to
    the last code."""
    answered = [one for some in asked for one in some]
    return (
        share(a is not None and names_right(q, a.text) for q, a in answered),
        share(a is not None and whole_right(q, a.text, a.codes) for q, a in answered),
    )


def _measure_all(
    runs: Sequence[ProofRun], out: Path, seed: int, jobs: int, tell: Tell
) -> dict[str, StudentFigures]:
    """Measure ``runs`` in processes, those that are trained already last."""
    figures: dict[str, StudentFigures] = {}
    for trained in (True, False):
        left = []
        for run in runs:
            if bool(run.steps) is not trained:
                continue
            path = out / f"{run.name}.json"
            if path.is_file():
                figures[run.name] = msgspec.json.decode(path.read_bytes(), type=StudentFigures)
            else:
                left.append(run)
        for run, found in measure_runs(left, seed, jobs, tell):
            write_whole(out / f"{run.name}.json", msgspec.json.encode(found))
            figures[run.name] = found
    return {run.name: figures[run.name] for run in runs}


def _once(folder: Path, make: Callable[[Path], None]) -> None:
    """Make ``folder`` unless it is there, under another name until it is complete."""
    if folder.is_dir():
        return
    part = folder.with_name(f"{folder.name}.part")
    shutil.rmtree(part, ignore_errors=True)
    make(part)
    part.rename(folder)
