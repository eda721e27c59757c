"""Train the students of a proof and try them, each as a run of its own."""

from __future__ import annotations

import multiprocessing
import os
import signal
import sys
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor, wait
from contextlib import contextmanager
from dataclasses import dataclass
from multiprocessing.queues import Queue
from pathlib import Path
from queue import Empty
from threading import Thread

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
    context = multiprocessing.get_context("spawn")
    told: Queue[tuple[str, str]] = context.Queue()
    with ProcessPoolExecutor(jobs, context, _begin_process, (told,)) as pool:
        try:
            with _interrupts_held():
                waiting = {pool.submit(_measure_in_process, run, seed): run for run in runs}
            while waiting:
                done, _ = wait(waiting, timeout=0.5)
                _pass_on(told, tell)
                for one in done:
                    yield waiting.pop(one), one.result()
        except BaseException:  # also of whoever reads no further
            for process in multiprocessing.active_children():
                process.terminate()
            raise


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


@contextmanager
def _interrupts_held() -> Iterator[None]:
    """Hold Ctrl-C back. Processes that are started meanwhile never get it: before they can ignore
    it, it would end them with a traceback each."""
    if sys.platform == "win32":
        yield
        return
    before = signal.pthread_sigmask(signal.SIG_BLOCK, (signal.SIGINT,))
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def _begin_process(told: Queue[tuple[str, str]]) -> None:
    """Leave Ctrl-C to the parent, and end with it, however it ends."""
    _TOLD.append(told)
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    parent = multiprocessing.parent_process()

    def end() -> None:
        if parent is not None:
            parent.join()
        os._exit(1)

    Thread(target=end, daemon=True).start()


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
