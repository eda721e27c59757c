"""Train the students of a proof and try them, each as a run of its own."""

from __future__ import annotations

import multiprocessing
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import wait
from dataclasses import dataclass
from multiprocessing.queues import Queue
from pathlib import Path
from queue import Empty

import msgspec
import numpy as np
import torch

from model.covo.config.precision import Precision
from model.duplex.network.loop import DuplexLoop
from model.duplex.network.network import load_duplex
from model.duplex.quiz.trials import QUIZ_BEHAVIOURS, try_quiz
from model.duplex.quiz.verdict import BehaviourFigures, StudentFigures
from model.duplex.tones.behaviours import LoopListener
from model.duplex.training.training import DuplexTrainer
from model.duplex.training.training_config import (
    DataSection,
    NetworkSection,
    TrainingConfig,
    TrainingSection,
)
from model.duplex.training.whole import write_whole
from model.jobs.processes import WorkerProcesses

Tell = Callable[[str, str], None]
"""Receives the name of a part and how far it is."""

_LAST_STEPS = 20
"""Steps at the end of a training over which its losses are averaged."""
_SAVE_EVERY = 50
"""Steps; more than are averaged, so that the losses at the end are known to whoever goes on."""


@dataclass(frozen=True, slots=True)
class ProofRun:
    """A student to train from ``source`` on ``dialogues`` and to try, named by its output folder.

    Args:
        steps: of training; 0: it is trained already.
        trials: of each behaviour, with questions of ``syllables``.
        deaf: it hears silence while it is tried.
    """

    name: str
    output: Path
    source: Path
    dialogues: Path
    steps: int
    trials: int
    syllables: tuple[int, ...]
    deaf: bool = False


def measure_runs(
    runs: Sequence[ProofRun], seed: int, jobs: int, tell: Tell
) -> Iterable[tuple[ProofRun, StudentFigures]]:
    """Measure ``runs``, ``jobs`` at a time in processes of their own; yield each as it is done."""
    if jobs == 1:
        for run in runs:
            yield run, measure_run(run, seed, tell)
        return
    told: Queue[tuple[str, str]] = multiprocessing.get_context("spawn").Queue()
    with WorkerProcesses(jobs, _tell_through, told) as pool:
        waiting = {pool.submit(_measure_in_process, run, seed): run for run in runs}
        while waiting:
            done, _ = wait(waiting, timeout=0.5)
            _pass_on(told, tell)
            for one in done:
                yield waiting.pop(one), one.result()


def measure_run(run: ProofRun, seed: int, tell: Tell) -> StudentFigures:
    """Train the student of ``run`` and try it."""
    torch.set_num_threads(1)
    losses = _train(run, seed, tell) if run.steps else {}
    network = load_duplex(run.output, precision=Precision.FP32)
    listener = LoopListener(DuplexLoop(network), deaf=run.deaf)
    behaviours = {}
    for behaviour in QUIZ_BEHAVIOURS:
        tell(run.name, f"trying: {behaviour}")
        done = try_quiz(listener, network.profile, behaviour, run.trials, run.syllables)
        behaviours[behaviour] = BehaviourFigures(
            run.trials,
            share(trial.success for trial in done),
            share(trial.names for trial in done),
            share(trial.whole for trial in done),
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
        write_whole(path, msgspec.json.encode(_means(losses[-_LAST_STEPS:])))
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


_TOLD: list[Queue[tuple[str, str]]] = []
"""In a process of its own: where to tell how far it is."""


def _tell_through(told: Queue[tuple[str, str]]) -> None:
    _TOLD.append(told)


def _measure_in_process(run: ProofRun, seed: int) -> StudentFigures:
    return measure_run(run, seed, lambda part, how_far: _TOLD[0].put((part, how_far)))


def _pass_on(told: Queue[tuple[str, str]], tell: Tell) -> None:
    try:
        while True:
            tell(*told.get_nowait())
    except Empty:
        return


def share(cases: Iterable[bool]) -> float:
    """Return which share of ``cases`` is true."""
    counted = list(cases)
    return round(sum(counted) / len(counted), 4)


def _means(losses: Sequence[dict[str, float]]) -> dict[str, float]:
    names = sorted({name for one in losses for name in one})
    return {
        name: round(float(np.mean([one[name] for one in losses if name in one])), 4)
        for name in names
    }
