"""Read recordings in the format of Full-Duplex-Bench v1 and v1.5 as scenarios.

The format (github.com/DanielLin94144/Full-Duplex-Bench) has a folder per task with a folder per
sample. Each has ``input.wav``, the user's side of a conversation, played from the beginning
whatever the assistant does, and an annotation::

    candor_pause_handling, synthetic_pause_handling    pause.json
    candor_turn_taking                                 turn_taking.json
    icc_backchannel                                    (nothing)
    synthetic_user_interruption                        interrupt.json
    user_interruption, user_backchannel,               metadata.json    (v1.5)
    talking_to_other, background_speech

The first three JSON files are lists whose first element has ``timestamp``: [start, end] in seconds;
``interrupt.json`` also has the words, in ``interrupt``. In ``metadata.json``, ``timestamps`` is
[start, end] of the overlapping speech and ``current_turn_text`` its words.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from audio_io.files import open_audio
from covo_cli.evaluation import Kind
from covo_cli.evaluation.scenarios.scenario import (
    FILE,
    EvaluationError,
    Mark,
    Role,
    Scenario,
    ScenarioSet,
    ScriptLine,
    SoundSource,
    read_set,
)
from covo_cli.simulation.scripted_user import Start, StartRule

INPUT = "input.wav"

TASKS = {
    "candor_pause_handling": (Kind.PAUSE, Role.UNFINISHED, "pause.json"),
    "synthetic_pause_handling": (Kind.PAUSE, Role.UNFINISHED, "pause.json"),
    "candor_turn_taking": (Kind.TURN, Role.TURN, "turn_taking.json"),
    "icc_backchannel": (Kind.LISTENING, Role.UNFINISHED, ""),
    "synthetic_user_interruption": (Kind.INTERRUPTION, Role.INTERRUPTION, "interrupt.json"),
    "user_interruption": (Kind.INTERRUPTION, Role.INTERRUPTION, "metadata.json"),
    "user_backchannel": (Kind.BACKCHANNEL, Role.BACKCHANNEL, "metadata.json"),
    "talking_to_other": (Kind.SIDE_TALK, Role.SIDE_TALK, "metadata.json"),
    "background_speech": (Kind.SIDE_TALK, Role.SIDE_TALK, "metadata.json"),
}


def read_scenarios(folder: Path) -> ScenarioSet:
    """Read the set in ``folder``, or recordings in Full-Duplex-Bench's format.

    Tasks may be in ``folder`` or one level down (``v1.0``, ``v1.5``), or ``folder`` is a task.
    Raises: EvaluationError.
    """
    if (folder / FILE).exists():
        return read_set(folder)
    scenarios = tuple(
        _scenario(folder, sample)
        for task in _task_folders(folder)
        for sample in sorted(task.iterdir(), key=_in_order)
        if (sample / INPUT).is_file()
    )
    if not scenarios:
        raise EvaluationError(
            f"{folder} holds neither a set of scenarios (covo eval build) nor recordings of "
            f"Full-Duplex-Bench (folders such as {next(iter(TASKS))})"
        )
    about = "recordings in the format of Full-Duplex-Bench"
    return ScenarioSet("full-duplex-bench", about, scenarios)


def _task_folders(folder: Path) -> list[Path]:
    candidates = [folder, *folder.glob("*"), *folder.glob("*/*")] if folder.is_dir() else []
    return sorted(path for path in candidates if path.is_dir() and path.name in TASKS)


def _in_order(sample: Path) -> tuple[int, str]:
    return (int(sample.name) if sample.name.isdigit() else 0, sample.name)


def _scenario(root: Path, sample: Path) -> Scenario:
    task = sample.parent.name
    kind, role, name = TASKS[task]
    with open_audio(sample / INPUT) as file:
        duration = file.frames / file.samplerate
    annotation = _read(sample / name) if name else {}
    try:
        start, end, text = _span(name, annotation, duration)
        mark = Mark(role, start, end, text)
        path = (sample / INPUT).relative_to(root).as_posix()
        line = ScriptLine(
            role,
            Start(StartRule.AT, 0.0),
            source=SoundSource.FILE,
            file=path,
            level=None,
            marks=(mark,),
        )
        version = "" if sample.parent.parent == root else f"{sample.parent.parent.name}-"
        return Scenario(f"{version}{task}-{sample.name}", kind, (line,), duration=duration)
    except (KeyError, TypeError, ValueError) as error:
        raise EvaluationError(
            f"{sample / name} is not in Full-Duplex-Bench's format: {error}"
        ) from error


def _span(name: str, annotation: dict[str, Any], duration: float) -> tuple[float, float, str]:
    """Return start, end and text of the annotated speech.

    A turn is everything before the turn-taking event. A pause is the whole recording, since the
    assistant must stay silent throughout.
    """
    match name:
        case "turn_taking.json":
            return 0.0, float(annotation["timestamp"][0]), ""
        case "interrupt.json":
            start, end = annotation["timestamp"]
            return float(start), float(end), str(annotation.get("interrupt", ""))
        case "metadata.json":
            start, end = annotation["timestamps"]
            return float(start), float(end), str(annotation.get("current_turn_text", ""))
        case _:
            return 0.0, duration, ""


def _read(path: Path) -> dict[str, Any]:
    """Read the annotation in ``path``: an object, or the first element of a list."""
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError) as error:
        raise EvaluationError(f"cannot read {path}: {error}") from error
    first = content[0] if isinstance(content, list) and content else content
    if not isinstance(first, dict):
        raise EvaluationError(f"{path} is not in Full-Duplex-Bench's format: no object in it")
    return first
