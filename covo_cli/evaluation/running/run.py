"""Run a set of scenarios with one engine on several cores; a stopped run can be continued.

A run is a folder with ``run.json``, which identifies it, and a folder for each finished scenario
(:mod:`covo_cli.evaluation.running.conversation`).
"""

from __future__ import annotations

import dataclasses
import hashlib
import os
import shutil
from collections.abc import Callable
from concurrent.futures import as_completed
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psutil

import covo_cli
from covo_cli.bench.chain import ChainFigures, ChainTime, chain_figures
from covo_cli.bench.figures import machine
from covo_cli.evaluation import SCRIPTED, Kind, RecognizerName
from covo_cli.evaluation.running.conversation import as_line, run_scenario
from covo_cli.evaluation.running.engines import engine_maker
from covo_cli.evaluation.scenarios.full_duplex_bench import read_scenarios
from covo_cli.evaluation.scenarios.scenario import (
    EvaluationError,
    Scenario,
    SoundSource,
    to_json,
)
from covo_cli.evaluation.scenarios.sounds import line_sound, noise_sound
from covo_cli.process.whole_file import write_text
from covo_cli.settings.settings import Settings
from covo_cli.simulation.scripted_user import ScriptedUser
from model.jobs.processes import WorkerProcesses
from voices.strict_reader import read

RUN = "run.json"
CONVERSATIONS = "conversations"
RESULTS = "results.json"
REPORT = "report.md"
PICTURES = "pictures"
CHAIN = "chain.json"

CHAIN_EVERY = 4
"""The plain chain is timed before every fourth conversation, so that its median is the run's."""

IDENTITY = ("set", "set_sha256", "only", "engine", "recognizer", "settings", "code_sha256")
"""The :class:`RunRecord` fields that must match to continue a run."""


@dataclass(frozen=True, slots=True)
class Task:
    """The set in ``folder`` and the engine to run it with; ``only``: some kinds of it."""

    folder: Path
    engine: str
    recognizer: RecognizerName
    settings: Settings
    threads: int
    only: tuple[Kind, ...] = ()

    def scenarios(self) -> list[Scenario]:
        """Return what is to be run. Raises: EvaluationError, also if it is nothing."""
        scenarios = read_scenarios(self.folder).scenarios
        wanted = [s for s in scenarios if not self.only or s.kind in self.only]
        if not wanted:
            kinds = ", ".join(sorted({s.kind for s in scenarios}))
            raise EvaluationError(f"{self.folder} has no such scenario; its kinds are {kinds}")
        return wanted


@dataclass(frozen=True, slots=True)
class RunRecord:
    """What was run, and where.

    ``settings``: those that affect the engine. ``load``: runnable processes per core before the
    start. ``conversations``: how many were finished when the run was judged. ``only``: the kinds
    it is confined to.
    """

    set: str
    set_sha256: str
    engine: str
    recognizer: str
    settings: dict[str, Any]
    code_sha256: str
    scenarios: int
    load: float
    jobs: int
    threads: int
    machine: dict[str, Any]
    conversations: int = 0
    only: tuple[str, ...] = ()


def open_run(task: Task, out: Path, jobs: int) -> RunRecord:
    """Begin the run in the folder ``out``, or check that the run begun there is the same.

    Raises: EvaluationError, also if the engine does not suit the scenarios.
    """
    scenarios = read_scenarios(task.folder)
    recorded = any(line.source is SoundSource.FILE for s in scenarios.scenarios for line in s.lines)
    if recorded and task.engine == SCRIPTED and task.recognizer is RecognizerName.ORACLE:
        raise EvaluationError(
            f"the oracle does not know what is said in the recordings of {task.folder}: "
            "add --recognizer whisper, or choose another --engine"
        )
    run = RunRecord(
        set=scenarios.name,
        set_sha256=hashlib.sha256(to_json(scenarios).encode()).hexdigest(),
        engine=task.engine,
        recognizer=task.recognizer.value if task.engine == SCRIPTED else "the engine's own",
        settings=_settings_in_force(task),
        code_sha256=code_digest(),
        scenarios=len(task.scenarios()),
        only=tuple(sorted({kind.value for kind in task.only})),
        load=load(),
        jobs=jobs,
        threads=task.threads,
        machine=machine(),
    )
    if (out / RUN).exists():
        begun = read_run(out)
        different = [key for key in IDENTITY if getattr(begun, key) != getattr(run, key)]
        if different:
            raise EvaluationError(
                f"{out} holds another run ({', '.join(different)} differ): name another folder"
            )
        return begun
    try:
        (out / CONVERSATIONS).mkdir(parents=True, exist_ok=True)
        write_text(out / RUN, to_json(run))
    except OSError as error:
        raise EvaluationError(f"cannot begin a run in {out}: {error}") from error
    return run


def discard_run(out: Path) -> None:
    """Delete the run in ``out`` and no other files. Raises: EvaluationError if it is not a run."""
    if not (out / RUN).exists():
        if out.exists() and not (out.is_dir() and not any(out.iterdir())):
            raise EvaluationError(f"{out} is not a run folder; nothing deleted")
        return
    try:
        for name in (CONVERSATIONS, PICTURES):
            shutil.rmtree(out / name, ignore_errors=True)
        for name in (RESULTS, REPORT, RUN):
            (out / name).unlink(missing_ok=True)
    except OSError as error:
        raise EvaluationError(f"cannot delete the run in {out}: {error}") from error


def _settings_in_force(task: Task) -> dict[str, Any]:
    sections = ("turns",) if task.engine == SCRIPTED else ("turns", "voice", "chat", "audio")
    everything = dataclasses.asdict(task.settings)
    return {section: everything[section] for section in sections}


def remaining(task: Task, out: Path) -> list[Scenario]:
    """Return the scenarios of ``task`` not finished in the run ``out``. Raises: EvaluationError."""
    return [s for s in task.scenarios() if not (out / CONVERSATIONS / s.id).exists()]


def run_all(
    task: Task, out: Path, jobs: int, progress: Callable[[str], None] = lambda name: None
) -> None:
    """Run the missing scenarios of the run ``out`` on ``jobs`` processes.

    ``progress`` gets the id of each finished scenario. After a failure or interruption, the same
    call continues the run. Raises: the errors of any room.
    """
    names = [scenario.id for scenario in remaining(task, out)]
    jobs = min(jobs, len(names))
    if jobs <= 1:
        run_one = _runner(task, out)
        for name in names:
            run_one(name)
            progress(name)
        return
    with WorkerProcesses(jobs) as pool:
        futures = [pool.submit(_run_in_this_process, task, out, name) for name in names]
        for future in as_completed(futures):
            progress(future.result())


_runners: list[Callable[[str], None]] = []
"""In a worker process: the :func:`_runner` shared by its conversations."""


def _run_in_this_process(task: Task, out: Path, name: str) -> str:
    if not _runners:
        _runners.append(_runner(task, out))
    _runners[0](name)
    return name


def _runner(task: Task, out: Path) -> Callable[[str], None]:
    """Load what conversations share; return a function that runs a scenario by id."""
    scenarios = read_scenarios(task.folder)
    evaluated = engine_maker(task.engine, task.recognizer, task.settings, task.threads)
    by_name = {scenario.id: scenario for scenario in scenarios.scenarios}
    timed = {scenario.id for scenario in task.scenarios()[::CHAIN_EVERY]}

    def run_one(name: str) -> None:
        scenario, folder = by_name[name], out / CONVERSATIONS / name
        time = evaluated.chain.time() if evaluated.chain and name in timed else None
        lines = [as_line(line, line_sound(line, task.folder)) for line in scenario.lines]
        noise = noise_sound(scenario.noise, scenarios, task.folder) if scenario.noise else None
        user = ScriptedUser(lines, paced=False)
        run_scenario(scenario, user, evaluated.make(scenario, user), folder, noise)
        if time is not None:
            write_text(folder / CHAIN, to_json(time))

    return run_one


def code_files() -> list[Path]:
    """Return the files that affect a conversation: code and word rules."""
    covo = Path(covo_cli.__file__).parent
    rooms = [covo.parent / room for room in ("audio_io", "model", "voices")]
    folders = ("conversation", "engines", "simulation", "evaluation/running")
    single = (
        "bench/chain.py",
        "bench/read_aloud.py",
        "bench/speech.py",
        "evaluation/scenarios/sounds.py",
        "evaluation/scenarios/vocal.py",
    )
    return [
        *(path for room in rooms for kind in ("*.py", "*.toml") for path in room.rglob(kind)),
        *(path for folder in folders for path in (covo / folder).glob("*.py")),
        *(covo / name for name in single),
    ]


def code_digest() -> str:
    """Return a fingerprint of :func:`code_files`."""
    digest = hashlib.sha256()
    for path in sorted(code_files()):
        digest.update(path.read_bytes())
    return digest.hexdigest()


def read_run(out: Path) -> RunRecord:
    """Read ``run.json`` in ``out``. Raises: EvaluationError."""
    if not (out / RUN).exists():
        raise EvaluationError(f"{out} is not a run folder")
    return read(out / RUN, RunRecord, EvaluationError)


def read_chain(out: Path) -> ChainFigures | None:
    """Return the plain chain's figures of the run ``out``, if it was timed.

    Raises: EvaluationError.
    """
    files = [folder / CHAIN for folder in done(out)]
    times = [read(file, ChainTime, EvaluationError) for file in files if file.exists()]
    return chain_figures(times) if times else None


def load() -> float:
    """Return the runnable processes per core over the last minute."""
    return round(float(psutil.getloadavg()[0]) / (os.cpu_count() or 1), 2)


def default_jobs(engine: str) -> int:
    """Return all cores for the scripted engine; 1 for others, whose compute time counts."""
    return os.cpu_count() or 1 if engine == SCRIPTED else 1


def done(out: Path) -> list[Path]:
    """Return the folders of finished conversations in the run ``out``, by name."""
    folders = (out / CONVERSATIONS).glob("*")
    return sorted(folder for folder in folders if folder.suffix != ".part")
