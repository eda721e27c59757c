"""Holds all scenarios of a set with one engine, on several cores, and goes on where it was stopped.

A run is a folder: ``run.json`` (what was run, so that nothing else is added to it) and one folder
for each scenario (:mod:`covo_cli.evaluation.running.conversation`), there once it is whole.
"""

from __future__ import annotations

import dataclasses
import hashlib
import json
import os
import shutil
from collections import deque
from collections.abc import Callable, Iterator
from concurrent.futures import FIRST_EXCEPTION, ProcessPoolExecutor, wait
from dataclasses import dataclass
from multiprocessing import get_context
from pathlib import Path
from queue import Empty, Queue
from typing import Any

import psutil

import covo_cli
from covo_cli.bench.machine import machine
from covo_cli.evaluation import SCRIPTED, RecognizerName
from covo_cli.evaluation.running.conversation import as_line, hold
from covo_cli.evaluation.running.engines import engine_maker
from covo_cli.evaluation.scenarios.full_duplex_bench import read_scenarios
from covo_cli.evaluation.scenarios.scenario import (
    EvaluationError,
    Scenario,
    ScenarioSet,
    Source,
    to_json,
)
from covo_cli.evaluation.scenarios.sounds import line_sound, noise_sound
from covo_cli.process.whole_file import write_text
from covo_cli.settings.settings import Settings
from covo_cli.simulation.scripted_user import ScriptedUser

RUN = "run.json"
CONVERSATIONS = "conversations"
RESULTS = "results.json"
REPORT = "report.md"
PICTURES = "pictures"

POLL_S = 0.25

IDENTITY = ("set", "set_sha256", "engine", "recognizer", "settings", "code_sha256")
"""The keys of ``run.json`` that make a run what it is."""


@dataclass(frozen=True, slots=True)
class Task:
    """A set in ``folder`` and the engine that is to hold its conversations."""

    folder: Path
    engine: str
    recognizer: RecognizerName
    settings: Settings
    threads: int


def open_run(task: Task, out: Path, jobs: int) -> dict[str, Any]:
    """Begin the run in the folder ``out``, or check that it is the one that was begun there.

    Returns what ``run.json`` says. Raises: EvaluationError when another one was, or when the engine
    cannot hold these conversations.
    """
    scenarios = read_scenarios(task.folder)
    recorded = any(line.source is Source.FILE for s in scenarios.scenarios for line in s.lines)
    if recorded and task.engine == SCRIPTED and task.recognizer is RecognizerName.ORACLE:
        raise EvaluationError(
            f"the oracle cannot know what is said in the recordings of {task.folder}: "
            "add --recognizer whisper, or another --engine"
        )
    identity = {
        "set": scenarios.name,
        "set_sha256": hashlib.sha256(to_json(scenarios).encode()).hexdigest(),
        "engine": task.engine,
        "recognizer": task.recognizer.value if task.engine == SCRIPTED else "the engine's own",
        "settings": _settings_in_force(task),
        "code_sha256": code_digest(),
    }
    path = out / RUN
    try:
        if path.exists():
            begun: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
            different = [key for key, value in identity.items() if begun.get(key) != value]
            if different:
                raise EvaluationError(
                    f"{out} holds another run ({', '.join(different)} differ): name another folder"
                )
            return begun
        (out / CONVERSATIONS).mkdir(parents=True, exist_ok=True)
        run = {
            **identity,
            "scenarios": len(scenarios.scenarios),
            "load": load(),
            "jobs": jobs,
            "threads": task.threads,
            "machine": machine(),
        }
        write_text(path, json.dumps(run, indent=1) + "\n")
        return run
    except (OSError, ValueError) as error:
        raise EvaluationError(f"the run in {out} cannot be opened: {error}") from error


def discard_run(out: Path) -> None:
    """Throw the run in the folder ``out`` away, and nothing else that is there.

    Raises: EvaluationError when something is there that is no run.
    """
    if not (out / RUN).exists():
        if out.exists() and not (out.is_dir() and not any(out.iterdir())):
            raise EvaluationError(f"{out} is no run, so nothing of it is thrown away")
        return
    try:
        for name in (CONVERSATIONS, PICTURES):
            shutil.rmtree(out / name, ignore_errors=True)
        for name in (RESULTS, REPORT, RUN):
            (out / name).unlink(missing_ok=True)
    except OSError as error:
        raise EvaluationError(f"the run in {out} cannot be thrown away: {error}") from error


def _settings_in_force(task: Task) -> dict[str, Any]:
    sections = ("turns",) if task.engine == SCRIPTED else ("turns", "voice", "chat", "audio")
    everything = dataclasses.asdict(task.settings)
    return {section: everything[section] for section in sections}


def remaining(scenarios: ScenarioSet, out: Path) -> list[Scenario]:
    """The scenarios that are not done yet in the run ``out``."""
    done = out / CONVERSATIONS
    return [scenario for scenario in scenarios.scenarios if not (done / scenario.id).exists()]


def run_all(
    task: Task, out: Path, jobs: int, progress: Callable[[str], None] = lambda name: None
) -> None:
    """Hold every conversation of the run ``out`` that is missing, on ``jobs`` processes.

    ``progress`` is called with each scenario's id when it is done. A failure or an interruption
    leaves what is done, so that the same call goes on from there. Raises: the rooms' errors.
    """
    names = [scenario.id for scenario in remaining(read_scenarios(task.folder), out)]
    jobs = min(jobs, len(names))
    if jobs <= 1:
        for name in _hold_each(task, out, iter(names)):
            progress(name)
        return
    spawn = get_context("spawn")
    with spawn.Manager() as manager, ProcessPoolExecutor(jobs, spawn) as pool:
        waiting = manager.Queue()
        for name in names:
            waiting.put(name)
        workers = [pool.submit(_work_off, task, out, waiting) for _ in range(jobs)]
        try:
            while any(not worker.done() for worker in workers):
                wait(workers, timeout=POLL_S, return_when=FIRST_EXCEPTION)
                names = _report(names, out, progress)
                for worker in workers:
                    if worker.done():
                        worker.result()
        finally:
            deque(_taken(waiting))  # nothing more is begun
        _report(names, out, progress)


def _report(names: list[str], out: Path, progress: Callable[[str], None]) -> list[str]:
    """Tell of those of ``names`` that are done; returns the others."""
    ready = [name for name in names if (out / CONVERSATIONS / name).exists()]
    for name in ready:
        progress(name)
    return [name for name in names if name not in ready]


def _work_off(task: Task, out: Path, waiting: Queue[str]) -> None:
    """In a process of its own: hold what waits until nothing does."""
    deque(_hold_each(task, out, _taken(waiting)), maxlen=0)


def _taken(waiting: Queue[str]) -> Iterator[str]:
    while True:
        try:
            yield waiting.get_nowait()
        except Empty:
            return


def _hold_each(task: Task, out: Path, names: Iterator[str]) -> Iterator[str]:
    """Hold the scenarios called ``names``; yields each name when it is done."""
    scenarios = read_scenarios(task.folder)
    make = engine_maker(task.engine, task.recognizer, task.settings, task.threads)
    by_name = {scenario.id: scenario for scenario in scenarios.scenarios}
    for name in names:
        scenario = by_name[name]
        lines = [as_line(line, line_sound(line, task.folder)) for line in scenario.lines]
        noise = noise_sound(scenario.noise, scenarios, task.folder) if scenario.noise else None
        user = ScriptedUser(lines, paced=False)
        hold(scenario, user, make(scenario, user), out / CONVERSATIONS / name, noise)
        yield name


def code_files() -> list[Path]:
    """The files that decide how a conversation goes: code, and the word rules."""
    root = Path(covo_cli.__file__).parent
    folders = ("conversation", "engines", "simulation", "evaluation/running")
    single = (
        "bench/read_aloud.py",
        "evaluation/scenarios/sounds.py",
        "evaluation/scenarios/vocal.py",
    )
    return [
        *root.parent.joinpath("model").rglob("*.py"),
        *root.parent.joinpath("model").rglob("*.toml"),
        *root.parent.joinpath("audio_io").rglob("*.py"),
        *(path for folder in folders for path in (root / folder).glob("*.py")),
        *(root / name for name in single),
    ]


def code_digest() -> str:
    """A fingerprint of the code that takes turns: a run with another one is another run."""
    digest = hashlib.sha256()
    for path in sorted(code_files()):
        digest.update(path.read_bytes())
    return digest.hexdigest()


def read_run(out: Path) -> dict[str, Any]:
    """What ``run.json`` in ``out`` says. Raises: EvaluationError."""
    try:
        run: dict[str, Any] = json.loads((out / RUN).read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise EvaluationError(f"{out} is no run: {error}") from error
    return run


def load() -> float:
    """How many processes wanted a core in the last minute, for each core there is."""
    return round(float(psutil.getloadavg()[0]) / (os.cpu_count() or 1), 2)


def default_jobs(engine: str) -> int:
    """All cores for the scripted engine; one process where compute time counts."""
    return os.cpu_count() or 1 if engine == SCRIPTED else 1


def done(out: Path) -> list[Path]:
    """The folders of the conversations of the run ``out`` that are whole, by name."""
    folders = (out / CONVERSATIONS).glob("*")
    return sorted(folder for folder in folders if folder.suffix != ".part")
