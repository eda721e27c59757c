"""Prove the recipe on the quiz: teacher, its answers, dialogues, student, and controls.

Everything lies in one folder and is made once, so a stopped proof goes on. The students are
independent of each other and trained in processes of their own, each on one thread, so the result
does not depend on how many run at a time.
"""

from __future__ import annotations

import json
import multiprocessing
import shutil
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ProcessPoolExecutor, wait
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from queue import Empty, SimpleQueue
from typing import Any

import msgspec
import numpy as np
import torch

from model.covo.config.network_config import CovoConfig
from model.covo.config.precision import Precision
from model.duplex.network.loop import DuplexLoop
from model.duplex.network.network import load_duplex
from model.duplex.protocol.grammar import Grammar
from model.duplex.protocol.profile import read_profile
from model.duplex.quiz.dialogues import (
    QUESTIONS,
    Cutting,
    TaughtQuestion,
    draw_dialogue_questions,
    write_dialogues,
)
from model.duplex.quiz.teacher import QuizTeacher, TeacherTraining, train_teacher
from model.duplex.quiz.trials import QUIZ_BEHAVIOURS, names_right, try_quiz, whole_right
from model.duplex.quiz.verdict import BehaviourFigures, Proof, StudentFigures
from model.duplex.quiz.world import write_blank
from model.duplex.tones.behaviours import LoopListener
from model.duplex.training.training import DuplexTrainer
from model.duplex.training.training_config import (
    DataSection,
    NetworkSection,
    TrainingConfig,
    TrainingSection,
)
from model.errors import TrainingError
from voices.folders import make_folder

Tell = Callable[[str, str], None]
"""Receives the name of a part and how far it is."""

_LAST_STEPS = 20
"""Steps at the end of a training over which its losses are averaged."""
_SAVE_EVERY = 50
"""Steps; more than are averaged, so that the losses at the end are known to whoever goes on."""
_TEACHER_TRIALS = 300


@dataclass(frozen=True, slots=True)
class ProofSize:
    """How much is trained and tried; the defaults are those of the whole proof."""

    teacher: TeacherTraining = field(default_factory=TeacherTraining)
    dialogues: int = 1000
    steps: int = 500
    short_steps: int = 300
    """For controls that only have to learn to behave."""
    trials: int = 150
    controls: bool = True
    control_trials: int = 60


WHOLE = ProofSize()
SHORT = ProofSize(
    TeacherTraining(steps=250),
    dialogues=300,
    steps=250,
    trials=30,
    controls=False,
    control_trials=10,
)


@dataclass(frozen=True, slots=True)
class ProofRun:
    """A student to train from ``source`` on ``dialogues`` and to try, named by its output folder.

    ``steps`` 0: it is trained already. ``deaf``: it hears silence while it is tried.
    """

    name: str
    output: Path
    source: Path
    dialogues: Path
    steps: int
    trials: int
    deaf: bool = False


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
    taught, dropped = _ask(teacher, size, seed)
    if not taught:
        raise TrainingError(
            f"none of the teacher's {dropped} answers can be used; delete {out} and train it longer"
        )
    grammar = Grammar(read_profile(out / "blank"), CovoConfig.read(out / "blank" / "config.json"))

    def write(name: str, dialogues: Sequence[Sequence[TaughtQuestion]], cutting: Cutting) -> Path:
        folder = out / "dialogues" / name
        tell("dialogues", name)
        _once(
            folder,
            lambda part: write_dialogues(part, grammar, dialogues, seed=seed, cutting=cutting),
        )
        return folder

    slots = write("cut in slots", taught, Cutting.SLOTS)
    student = out / "student"
    runs = [ProofRun("student", student, out / "teacher", slots, size.steps, size.trials)]
    few = size.control_trials
    if size.controls:
        shuffled = write("shuffled", _shuffled(taught, seed), Cutting.SLOTS)
        timed = write("cut by time", taught, Cutting.TIME)
        for name, source, folder, steps in (
            ("from random weights", "blank", slots, size.steps),
            ("answers shuffled", "teacher", shuffled, size.short_steps),
            ("cut by time", "teacher", timed, size.short_steps),
        ):
            runs.append(ProofRun(name, out / name, out / source, folder, steps, few))
    # The student in other circumstances, once it is trained.
    runs.append(ProofRun("deaf", student, student, slots, 0, few, deaf=True))
    figures = _measure_all(runs, out, seed, jobs, tell)
    proof = Proof(_grade(teacher, seed), dropped, figures)
    text = json.dumps({**asdict(proof), "goals": [asdict(g) | {"met": g.met} for g in proof.goals]})
    _write(out / "proof.json", f"{text}\n".encode())
    return proof


def _begin(path: Path, size: ProofSize, seed: int) -> None:
    """Note at ``path`` what is proved. Raises: TrainingError if it was something else."""
    text = json.dumps({**asdict(size), "seed": seed}).encode()
    if not path.exists():
        _write(path, text)
    elif path.read_bytes() != text:
        raise TrainingError(
            f"{path.parent} was begun with another size or seed; delete it, or name another"
        )


def measure_run(run: ProofRun, seed: int, tell: Tell) -> StudentFigures:
    """Train the student of ``run`` and try it."""
    torch.set_num_threads(1)
    losses = _train(run, seed, tell) if run.steps else {}
    network = load_duplex(run.output, precision=Precision.FP32)
    listener = LoopListener(DuplexLoop(network), deaf=run.deaf)
    behaviours = {}
    for behaviour in QUIZ_BEHAVIOURS:
        tell(run.name, f"trying: {behaviour}")
        done = try_quiz(listener, network.profile, behaviour, run.trials)
        behaviours[behaviour] = BehaviourFigures(
            run.trials,
            _share(trial.success for trial in done),
            _share(trial.names for trial in done),
            _share(trial.whole for trial in done),
        )
    return StudentFigures(behaviours, losses)


def _train(run: ProofRun, seed: int, tell: Tell) -> dict[str, float]:
    """Train the student of ``run``, unless it is trained; return its losses at the end."""
    path = run.output / "losses.json"
    if not path.is_file():
        losses = list[dict[str, float]]()
        for report in DuplexTrainer(_training(run, seed)).run():
            losses.append(dict(report.losses))
            tell(run.name, f"step {report.step} of {run.steps}, loss {report.loss:.3f}")
        _write(path, msgspec.json.encode(_means(losses[-_LAST_STEPS:])))
    return msgspec.json.decode(path.read_bytes(), type=dict[str, float])


def _training(run: ProofRun, seed: int) -> TrainingConfig:
    return TrainingConfig(
        NetworkSection(run.source, run.output, "float16"),
        DataSection(run.dialogues),
        TrainingSection(
            steps=run.steps,
            batch=8,
            learning_rate=2e-3,
            warm_up=min(40, run.steps),
            save_every=_SAVE_EVERY,
            seed=seed,
        ),
    )


def _teach(blank: Path, folder: Path, size: ProofSize, seed: int, tell: Tell) -> None:
    shutil.copytree(blank, folder)
    for step, total in enumerate(train_teacher(blank, folder, size.teacher, seed), start=1):
        tell("teacher", f"step {step} of {size.teacher.steps}, loss {total:.3f}")


def _ask(
    teacher: QuizTeacher, size: ProofSize, seed: int
) -> tuple[list[tuple[TaughtQuestion, ...]], int]:
    """Return the questions of each dialogue with the teacher's answers, and how many of these were
    dropped, each with its question."""
    drawn = [
        draw_dialogue_questions(np.random.default_rng((seed, 1, number)))
        for number in range(size.dialogues)
    ]
    answers = iter(teacher.answer([question for some in drawn for question in some], seed))
    taught = [
        tuple(
            TaughtQuestion(question, answer)
            for question, answer in [(question, next(answers)) for question in some]
            if answer is not None
        )
        for some in drawn
    ]
    dropped = size.dialogues * QUESTIONS - sum(map(len, taught))
    return [some for some in taught if some], dropped


def _shuffled(
    dialogues: Sequence[Sequence[TaughtQuestion]], seed: int
) -> list[tuple[TaughtQuestion, ...]]:
    """Return ``dialogues`` with the answers dealt anew among all questions."""
    answers = [one.answer for some in dialogues for one in some]
    order = iter(np.random.default_rng((seed, 2)).permutation(len(answers)))
    return [
        tuple(replace(one, answer=answers[int(next(order))]) for one in some) for some in dialogues
    ]


def _grade(teacher: QuizTeacher, seed: int) -> tuple[float, float]:
    """Return the shares of new questions that the teacher answers with the right names, and right
    to the last code."""
    drawn = [
        question
        for number in range(_TEACHER_TRIALS // QUESTIONS)
        for question in draw_dialogue_questions(np.random.default_rng((seed, 3, number)))
    ]
    answered = list(zip(drawn, teacher.answer(drawn, seed), strict=True))
    return (
        _share(a is not None and names_right(q, a.text) for q, a in answered),
        _share(a is not None and whole_right(q, a.text, a.codes) for q, a in answered),
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
        for run, found in _in_processes(left, seed, jobs, tell):
            _write(out / f"{run.name}.json", msgspec.json.encode(found))
            figures[run.name] = found
    return {run.name: figures[run.name] for run in runs}


def _in_processes(
    runs: Sequence[ProofRun], seed: int, jobs: int, tell: Tell
) -> Iterable[tuple[ProofRun, StudentFigures]]:
    if jobs == 1:
        for run in runs:
            yield run, measure_run(run, seed, tell)
        return
    context = multiprocessing.get_context("spawn")
    with context.Manager() as manager, ProcessPoolExecutor(jobs, context) as pool:
        told: SimpleQueue[tuple[str, str]] = manager.Queue()  # type: ignore[assignment]
        waiting = {pool.submit(_measure_in_process, run, seed, told): run for run in runs}
        while waiting:
            done, _ = wait(waiting, timeout=0.5)
            _pass_on(told, tell)
            for one in done:
                yield waiting.pop(one), one.result()


def _measure_in_process(run: ProofRun, seed: int, told: Any) -> StudentFigures:
    return measure_run(run, seed, lambda part, how_far: told.put((part, how_far)))


def _pass_on(told: SimpleQueue[tuple[str, str]], tell: Tell) -> None:
    try:
        while True:
            tell(*told.get_nowait())
    except Empty:
        return


def _write(path: Path, content: bytes) -> None:
    """Write a file whole or not at all."""
    part = path.with_suffix(".part")
    part.write_bytes(content)
    part.replace(path)


def _once(folder: Path, make: Callable[[Path], None]) -> None:
    """Make ``folder`` unless it is there, under another name until it is complete."""
    if folder.is_dir():
        return
    part = folder.with_name(f"{folder.name}.part")
    shutil.rmtree(part, ignore_errors=True)
    make(part)
    part.rename(folder)


def _share(cases: Iterable[bool]) -> float:
    counted = list(cases)
    return round(sum(counted) / len(counted), 4)


def _means(losses: Sequence[dict[str, float]]) -> dict[str, float]:
    names = sorted({name for one in losses for name in one})
    return {
        name: round(float(np.mean([one[name] for one in losses if name in one])), 4)
        for name in names
    }
