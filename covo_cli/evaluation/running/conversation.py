"""Run a scenario on the sample clock, through the same Conversation as live talk.

Its folder then has ``input.wav`` (the microphone) and ``output.wav`` (the assistant, on the same
clock), both 16 kHz, ``events.jsonl``, and ``annotation.json`` (what was said when, and what would
be right).
"""

from __future__ import annotations

import shutil
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

from audio_io.acoustics.echo_path import EchoPath
from audio_io.clock import USER_RATE, samples
from audio_io.echo import EchoCanceller
from audio_io.file_ends import FileSpeaker
from audio_io.files import AudioWriter
from audio_io.levels import span_of_sound
from audio_io.signal import Audio
from covo_cli.conversation.consumer import Consumer
from covo_cli.conversation.conversation import Conversation, Ending
from covo_cli.evaluation.scenarios.scenario import (
    RIGHT,
    EvaluationError,
    Role,
    Scenario,
    ScriptLine,
    to_json,
)
from covo_cli.process.whole_file import write_text
from covo_cli.screen.plain import JsonScreen
from covo_cli.sessions.files import EVENTS
from covo_cli.simulation.room import Room
from covo_cli.simulation.scripted_user import Line, ScriptedUser
from model.engine import Engine
from voices.strict_reader import read

INPUT, OUTPUT, ANNOTATION = "input.wav", "output.wav", "annotation.json"

PATIENCE_S = 12.0
"""How long the user waits for an answer to the last line, beyond ``listen`` once one is heard."""

AFTERMATH_S = 1.0
"""How long the conversation continues once both sides are idle."""


@dataclass(frozen=True, slots=True)
class Said:
    """A line as it was said, from its first sound to its last, in user samples.

    ``right``: the right response, for display. ``recorded``: it is part of a recording.
    """

    role: Role
    text: str
    start: int
    end: int
    right: str
    recorded: bool = False


@dataclass(frozen=True, slots=True)
class Annotation:
    """What was said in a conversation of ``length`` user samples."""

    scenario: Scenario
    said: tuple[Said, ...]
    length: int


def run_scenario(
    scenario: Scenario,
    user: ScriptedUser,
    engine: Engine,
    folder: Path,
    noise: Audio | None = None,
) -> None:
    """Run ``scenario`` with ``engine``, close the engine and write ``folder`` atomically.

    ``noise``: see :class:`covo_cli.simulation.room.Room`. Raises: EvaluationError, AudioError.
    """
    part = folder.with_name(folder.name + ".part")
    try:
        shutil.rmtree(part, ignore_errors=True)
        part.mkdir(parents=True)
        with ExitStack() as stack:
            stack.callback(engine.close)
            length = _talk(scenario, user, engine, part, noise, stack)
        annotation = Annotation(scenario, tuple(_said(scenario, user)), length)
        write_text(part / ANNOTATION, to_json(annotation))
        shutil.rmtree(folder, ignore_errors=True)
        part.replace(folder)
    except OSError as error:
        raise EvaluationError(f"cannot write {folder}: {error}") from error


def _talk(
    scenario: Scenario,
    user: ScriptedUser,
    engine: Engine,
    folder: Path,
    noise: Audio | None,
    stack: ExitStack,
) -> int:
    echo = scenario.echo
    path = EchoPath(echo.delay, echo.rt60, echo.gain, echo.seed) if echo else None
    room = Room(user, path, noise, AudioWriter(folder / INPUT, USER_RATE))
    stack.callback(room.close)
    speaker = FileSpeaker(folder / OUTPUT, USER_RATE)
    stack.callback(speaker.close)
    stream = stack.enter_context((folder / EVENTS).open("w", encoding="utf-8"))
    resting_since: int | None = None

    def over(busy: bool) -> bool:
        nonlocal resting_since
        if scenario.duration is not None:
            return talk.at >= samples(scenario.duration)
        if user.all_said:
            if user.heard and user.heard >= samples(scenario.listen):
                return True
            wanted = scenario.listen if user.heard else 0.0
            if talk.at - user.spoken[-1][1] >= samples(wanted + PATIENCE_S):
                return True
        resting = user.exhausted and not busy
        resting_since = (resting_since or talk.at) if resting else None
        return resting_since is not None and talk.at - resting_since >= samples(AFTERMATH_S)

    canceller = EchoCanceller() if echo else None
    consumers: list[Consumer] = [user, room, JsonScreen(stream)]
    talk = Conversation(room, speaker, engine, consumers, echo=canceller, over=over)
    speaker.start()
    room.start()
    if talk.run() is Ending.OUTPUT_CLOSED:  # only a disk error ends it early
        raise EvaluationError(f"cannot write {folder / EVENTS}")
    return talk.at


def as_line(line: ScriptLine, sound: Audio) -> Line:
    """Convert a script line and its sound to a user's line."""
    return Line(sound, line.text, line.start)


def _said(scenario: Scenario, user: ScriptedUser) -> list[Said]:
    said = []
    for line, spoken, (start, _) in zip(scenario.lines, user.lines, user.spoken, strict=False):
        if line.marks:
            for mark in line.marks:
                begin, end = start + samples(mark.start), start + samples(mark.end)
                said.append(Said(mark.role, mark.text, begin, end, RIGHT[mark.role], True))
        else:
            first, last = span_of_sound(spoken.audio)
            text = line.text or line.source.value
            right = RIGHT[line.role]
            said.append(Said(line.role, text, start + first, start + last, right))
    return said


def read_annotation(folder: Path) -> Annotation:
    """Read the annotation written by :func:`run_scenario`. Raises: EvaluationError."""
    remedy = f"delete {folder} and run it again"
    return read(folder / ANNOTATION, Annotation, EvaluationError, remedy=remedy)
