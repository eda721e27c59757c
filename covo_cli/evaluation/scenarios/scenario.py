"""The scenario format: who says what when, and the surroundings.

A set is a folder with ``scenarios.json`` and rendered lines in ``sounds``. Reading it checks
everything and rejects unknown keys.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from enum import StrEnum
from itertools import zip_longest
from pathlib import Path

import msgspec

from covo_cli.errors import CliError
from covo_cli.evaluation import Kind
from covo_cli.process.whole_file import write_text
from covo_cli.simulation.scripted_user import Start, StartRule
from voices.strict_reader import read

FILE = "scenarios.json"
SOUNDS = "sounds"
FORMAT = 1

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,79}")


class EvaluationError(CliError):
    """A set of scenarios or a run is missing, broken or unsuitable."""


class Role(StrEnum):
    """The role of a line, which determines the right response (:data:`RIGHT`)."""

    TURN = "turn"
    UNFINISHED = "unfinished"
    BACKCHANNEL = "backchannel"
    INTERRUPTION = "interruption"
    SIDE_TALK = "side talk"
    CORRECTED = "corrected"
    CORRECTION = "correction"
    COMMAND = "command"
    """A short command by somebody else."""


RIGHT = {
    Role.TURN: "the assistant answers when it is over, not before",
    Role.UNFINISHED: "the assistant stays silent until the turn's last line is over",
    Role.BACKCHANNEL: "the assistant talks on, and does not answer it",
    Role.INTERRUPTION: "the assistant stops, and answers when it is over",
    Role.SIDE_TALK: "the assistant neither stops nor answers: somebody else is meant",
    Role.CORRECTED: "nothing is wrong yet: the next line takes it back",
    Role.CORRECTION: "the assistant is silent while it is said, and answers when it is over",
    Role.COMMAND: "the assistant may stop: it obeys a short command, whoever says it",
}


class SoundSource(StrEnum):
    """The origin of a line's sound."""

    VOICE = "voice"
    LAUGHTER = "laughter"
    COUGH = "cough"
    FILE = "file"


@dataclass(frozen=True, slots=True)
class Mark:
    """A part of a recording with its own role, from ``start`` to ``end`` seconds."""

    role: Role
    start: float
    end: float
    text: str = ""

    def __post_init__(self) -> None:
        if not 0 <= self.start <= self.end:
            raise ValueError(f"a mark cannot last from {self.start} to {self.end} s")


@dataclass(frozen=True, slots=True)
class ScriptLine:
    """One line, at ``level`` dBFS (RMS of its louder half).

    Depending on ``source``: ``text`` in ``voice``, laughter or a cough made from ``seed``, or the
    recording ``file`` (a path in the set's folder) with its ``marks``.
    """

    role: Role
    start: Start
    text: str = ""
    source: SoundSource = SoundSource.VOICE
    voice: str = ""
    seed: int = 0
    file: str = ""
    level: float | None = -26.0
    marks: tuple[Mark, ...] = ()

    def __post_init__(self) -> None:
        if self.source is SoundSource.VOICE and not (self.voice and self.text.strip()):
            raise ValueError("a spoken line needs a voice and a text")
        if (self.source is SoundSource.FILE) != bool(self.file):
            raise ValueError("a line has a file exactly if its source is 'file'")
        if self.marks and self.source is not SoundSource.FILE:
            raise ValueError("only a recording has marks")
        if self.level is not None and not -60 <= self.level <= -3:
            raise ValueError(f"the level must be from -60 to -3 dBFS, not {self.level}")


class NoiseKind(StrEnum):
    """Kinds of background noise; see :mod:`audio_io.acoustics.noise`."""

    WHITE = "white"
    PINK = "pink"
    HUM = "hum"
    CLICKS = "clicks"
    BABBLE = "babble"


@dataclass(frozen=True, slots=True)
class Noise:
    """Background noise, ``snr`` dB below a user at -26 dBFS."""

    kind: NoiseKind
    snr: float
    seed: int

    def __post_init__(self) -> None:
        if not -10 <= self.snr <= 60:
            raise ValueError(f"the signal-to-noise ratio must be from -10 to 60 dB, not {self.snr}")


@dataclass(frozen=True, slots=True)
class EchoSetup:
    """An open loudspeaker, with echo cancellation; times in seconds, ``gain`` in dB.

    See :class:`audio_io.acoustics.echo_path.EchoPath`.
    """

    delay: float
    rt60: float
    gain: float
    seed: int

    def __post_init__(self) -> None:
        if self.delay < 0 or self.rt60 < 0:
            raise ValueError("an echo's delay and reverberation time cannot be negative")


@dataclass(frozen=True, slots=True)
class Scenario:
    """One conversation; times are in seconds.

    It ends after ``listen`` seconds of an answer to the last line, or when both sides are idle;
    with ``duration``, exactly then. ``reply``: length of the scripted engine's answers. ``note``:
    what is special, for readers.
    """

    id: str
    kind: Kind
    lines: tuple[ScriptLine, ...] = ()
    noise: Noise | None = None
    echo: EchoSetup | None = None
    listen: float = 2.5
    duration: float | None = None
    reply: float = 8.0
    note: str = ""

    def __post_init__(self) -> None:
        if not _NAME.fullmatch(self.id):
            raise ValueError(f"{self.id!r} is not a name: use letters, digits, '-', '_', '.'")
        if not self.lines and self.duration is None:
            raise ValueError(f"{self.id}: a scenario without lines needs a duration")
        if not (self.listen >= 0 and self.reply > 0 and (self.duration or 1) > 0):
            raise ValueError(f"{self.id}: durations must be positive")
        for line, following in zip_longest(self.lines, self.lines[1:]):
            if line.source is SoundSource.FILE:
                continue
            if line is self.lines[0] and line.start.rule is StartRule.AFTER_LINE:
                raise ValueError(f"{self.id}: there is no line before the first")
            if line.role is Role.UNFINISHED and following is None:
                raise ValueError(f"{self.id}: the last line cannot be unfinished")
            if line.role is Role.CORRECTED and (
                following is None or following.role is not Role.CORRECTION
            ):
                raise ValueError(f"{self.id}: a corrected line must be followed by its correction")
            over = line.role in (Role.INTERRUPTION, Role.BACKCHANNEL, Role.COMMAND)
            if over and line.start.rule not in (StartRule.DURING_REPLY, StartRule.AT):
                raise ValueError(f"{self.id}: a {line.role} must be said during a reply")


@dataclass(frozen=True, slots=True)
class ScenarioSet:
    """Scenarios that are run together. ``about``: whose voices they have, for readers.
    ``language``: code of the users' language."""

    name: str
    about: str
    scenarios: tuple[Scenario, ...]
    format: int = FORMAT
    language: str = "en"

    def __post_init__(self) -> None:
        if self.format != FORMAT:
            raise ValueError(f"format {self.format} is unknown; this covo reads format {FORMAT}")
        ids = [scenario.id for scenario in self.scenarios]
        double = {name for name in ids if ids.count(name) > 1}
        if double:
            raise ValueError(f"two scenarios are called {min(double)}")
        if not ids:
            raise ValueError("there is no scenario in the set")


def read_set(folder: Path) -> ScenarioSet:
    """Read the set in ``folder``. Raises: EvaluationError."""
    return read(folder / FILE, ScenarioSet, EvaluationError, remedy="run `covo eval build` again")


def write_set(folder: Path, scenarios: ScenarioSet) -> None:
    """Write the set's file into ``folder`` atomically. Raises: EvaluationError."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
        write_text(folder / FILE, to_json(scenarios))
    except OSError as error:
        raise EvaluationError(f"cannot write {folder / FILE}: {error.strerror}") from error


def to_json(value: object) -> str:
    """Format any of the evaluation's dataclasses as JSON."""
    return msgspec.json.format(msgspec.json.encode(value), indent=1).decode() + "\n"
