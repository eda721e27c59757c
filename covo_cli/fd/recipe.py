"""The recipe of a work: every number in one file, which is refused unless all of it fits.

``recipe.toml`` beside this module is what ``covo fd init`` writes, with the numbers of a size.
"""

from __future__ import annotations

from dataclasses import dataclass, fields
from enum import StrEnum
from importlib import resources
from math import isclose
from pathlib import Path
from typing import Annotated, Any

import msgspec
from msgspec import Meta

from covo_cli.errors import CliError
from covo_cli.fd.records import RECIPE, TurnKind
from model.duplex.training.loss import LossWeights
from model.duplex.training.training_config import TrainingSection
from voices import strict_reader

FORMAT = 1

Share = Annotated[float, Meta(ge=0, le=1)]
Positive = Annotated[float, Meta(gt=0)]
Count = Annotated[int, Meta(ge=1)]
NotNegative = Annotated[int, Meta(ge=0)]
Range = tuple[float, float]
"""The lowest and the highest of something."""


class Size(StrEnum):
    """How large a work is: s rehearses, m is the recipe."""

    S = "s"
    M = "m"
    L = "l"


_SIZES = {
    Size.S: (5_000, 50.0, 400),
    Size.M: (40_000, 500.0, 3_800),
    Size.L: (150_000, 2_000.0, 15_000),
}
"""Questions, hours of dialogue, and steps of training: two epochs."""


@dataclass(frozen=True, slots=True)
class ModelSection:
    """The half-duplex weights, and how the student's system prompt ends."""

    folder: str
    speaker: Annotated[str, Meta(min_length=1)]
    duplex_line: str

    def __post_init__(self) -> None:
        if "{speaker}" not in self.duplex_line or "\n" in self.duplex_line:
            raise ValueError("duplex_line must be one line with {speaker} in it")


@dataclass(frozen=True, slots=True)
class PromptsSection:
    """How the half-duplex weights write prompts, and which of them are kept."""

    temperature: Annotated[float, Meta(ge=0)]
    top_k: NotNegative
    limit: Count
    streams: Count
    block: Count
    attempts: Annotated[float, Meta(ge=1)]
    words: tuple[NotNegative, NotNegative]

    def __post_init__(self) -> None:
        if self.words[0] > self.words[1]:
            raise ValueError("words must rise")

    @property
    def longest(self) -> int:
        """Tokens of an attempt at most, with the system prompt."""
        return 512 + self.limit


@dataclass(frozen=True, slots=True)
class QuestionsSection:
    """Whose voices say how many prompts, in conversations of how many turns."""

    count: Count
    held_out: NotNegative
    voices: tuple[str, ...]
    held_out_voices: tuple[str, ...]
    held_out_speakers: Share
    speed: Range
    turns: tuple[Share, ...]

    def __post_init__(self) -> None:
        _check_ranges(self, lowest=0.5)
        _check_sum("turns", self.turns)
        if not self.voices:
            raise ValueError("voices must name at least one voice")
        if twice := set(self.voices) & set(self.held_out_voices):
            raise ValueError(f"the voice {min(twice)} cannot be held out and trained on")
        if self.held_out >= self.count:
            raise ValueError(f"held_out must be below count, {self.count}")


@dataclass(frozen=True, slots=True)
class SharesSection:
    """The share of the turns of each :class:`~covo_cli.fd.plan.TurnKind`."""

    plain: Share
    paused: Share
    backchannelled: Share
    new_question: Share
    corrected: Share
    stopped: Share
    false_start: Share
    noise_over: Share
    noise_before: Share
    long_silence: Share

    def __post_init__(self) -> None:
        _check_sum("the shares of the turns", self.of.values())

    @property
    def of(self) -> dict[TurnKind, float]:
        """The share of each kind."""
        return {kind: getattr(self, kind.value) for kind in TurnKind}


@dataclass(frozen=True, slots=True)
class TimingSection:
    """When the user and the assistant do what; the file explains each."""

    shift_chunks: tuple[Share, ...]
    pause_shares: tuple[Share, Share, Share]
    pause_median: Positive
    pause_sigma: Positive
    pause_longer: Range
    pause_longest: Range
    filler: Share
    restart: Share
    gap_shares: tuple[Share, Share]
    gap: Range
    gap_longer: Range
    long_silence: Range
    backchannel_first: Positive
    backchannel_apart: Positive
    backchannel_db: Range
    vocal: Share
    onset: Positive
    onset_until: Share
    onset_early_share: Share
    onset_early: Positive
    break_chunk: Annotated[int, Meta(ge=2)]
    break_latest: Positive
    false_start: Range
    shortest: Positive
    longest: Positive
    longer_share: Share
    longer: Positive

    def __post_init__(self) -> None:
        _check_ranges(self, lowest=0.0, apart_from=("backchannel_db",))
        for name in ("shift_chunks", "pause_shares", "gap_shares"):
            _check_sum(name, getattr(self, name))
        if not self.shortest <= self.longest <= self.longer:
            raise ValueError("shortest, longest and longer must rise")
        if self.onset >= self.onset_early:
            raise ValueError("onset must be below onset_early")


@dataclass(frozen=True, slots=True)
class SoundSection:
    """What the user's channel sounds like."""

    level: Range
    drift_db: Annotated[float, Meta(ge=0)]
    noise: Share
    snr: tuple[float, float, float]
    noise_folder: str
    room: Share
    rt60: Range
    side_talk_db: Range
    telephone: Share

    def __post_init__(self) -> None:
        _check_ranges(self)
        if self.level[1] > 0:
            raise ValueError("level must not be above 0 dBFS")
        if list(self.snr) != sorted(self.snr):
            raise ValueError("snr must rise")
        if self.rt60[0] <= 0:
            raise ValueError("rt60 must be above 0")


@dataclass(frozen=True, slots=True)
class AnswersSection:
    """How the half-duplex weights answer, and which answers are dropped."""

    temperature: Annotated[float, Meta(ge=0)]
    top_k: NotNegative
    limit: Count
    streams: Count
    block: Count
    likely: Count
    codes_per_text: Range
    loop_tokens: Count
    loop_times: Annotated[int, Meta(ge=2)]

    def __post_init__(self) -> None:
        _check_ranges(self, lowest=0.0)


@dataclass(frozen=True, slots=True)
class DialoguesSection:
    """How much dialogue is made of the conversations."""

    hours: Positive
    rounds: Count


@dataclass(frozen=True, slots=True)
class EncoderSection:
    """Stage A; ``steps`` 0 leaves the encoder as it is."""

    steps: NotNegative
    seconds_per_step: Positive
    seconds_per_piece: Annotated[float, Meta(ge=1, le=30)]
    lora_rank: Count
    lora_alpha: Count
    learning_rate: Positive
    frontend_rate: Positive
    adapter_rate: Positive
    warm_up: NotNegative
    cosine: Annotated[float, Meta(ge=0)]
    save_every: Count

    def __post_init__(self) -> None:
        if self.seconds_per_step < self.seconds_per_piece:
            raise ValueError("seconds_per_step must be at least seconds_per_piece")


@dataclass(frozen=True, slots=True)
class MixSection:
    """What the student's training mixes: the share of half-duplex samples, that of dialogues which
    begin in their middle, and how often a reply's tokens count under what it does not stop for."""

    chat: Share
    middle: Share
    overlap: Annotated[float, Meta(ge=0)]


@dataclass(frozen=True, slots=True)
class CalibrationSection:
    """How often held-out conversations are laid out, and what the calibrated student may do."""

    rounds: Count
    takeovers: Share
    stops: Share


@dataclass(frozen=True, slots=True)
class FdRecipe:
    """The whole file."""

    seed: NotNegative
    model: ModelSection
    prompts: PromptsSection
    questions: QuestionsSection
    shares: SharesSection
    timing: TimingSection
    sound: SoundSection
    answers: AnswersSection
    dialogues: DialoguesSection
    encoder: EncoderSection
    mix: MixSection
    training: TrainingSection
    loss: LossWeights
    calibration: CalibrationSection

    @classmethod
    def read(cls, folder: Path, text: str | None = None) -> FdRecipe:
        """Read the recipe in ``folder``, or ``text`` as if it were there. Raises: CliError, naming
        file and key."""
        path = folder / RECIPE
        if text is None and not path.is_file():
            raise CliError(f"{folder} has no {RECIPE}; make one with `covo fd init {folder}`")
        return strict_reader.read(path, cls, CliError, text=text, format=FORMAT)

    def numbers(self, *sections: str) -> dict[str, Any]:
        """Return the seed and the named ``sections`` as plain values."""
        values: dict[str, Any] = msgspec.to_builtins(self)
        return {"seed": self.seed, **{name: values[name] for name in sections}}


def written_recipe(size: Size, model: str, speaker: str) -> str:
    """Return the text of a new recipe."""
    import tomlkit

    text = resources.files("covo_cli.fd").joinpath(RECIPE).read_text("utf-8")
    document: Any = tomlkit.parse(text)
    count, hours, steps = _SIZES[size]
    document["model"]["folder"], document["model"]["speaker"] = model, speaker
    document["questions"]["count"], document["dialogues"]["hours"] = count, hours
    document["training"]["steps"] = steps
    return tomlkit.dumps(document)


def default_sound() -> SoundSection:
    """Return the places that the recipe's sounds are put in."""
    return FdRecipe.read(Path(), written_recipe(Size.S, "none", "nobody")).sound


def _check_sum(name: str, shares: Any) -> None:
    if not isclose(total := sum(shares), 1.0, abs_tol=1e-6):
        raise ValueError(f"{name} must add up to 1, not {total:g}")


def _check_ranges(
    section: Any, lowest: float | None = None, apart_from: tuple[str, ...] = ()
) -> None:
    for field in fields(section):
        if field.type != "Range":
            continue
        low, high = getattr(section, field.name)
        if low > high:
            raise ValueError(f"{field.name} must rise, not fall from {low:g} to {high:g}")
        if lowest is not None and low < lowest and field.name not in apart_from:
            raise ValueError(f"{field.name} must not be below {lowest:g}")
