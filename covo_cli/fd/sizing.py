"""Tell before a stage runs what it takes: hours, disk and memory, on a named graphics card.

Hours follow from arithmetic and memory bandwidth, and from rates that cards of a kind reach; they
are estimates, and none of them was measured on Chat's weights.
"""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from statistics import fmean

from covo_cli.errors import CliError
from covo_cli.fd.recipe import FdRecipe
from model.covo.config.network_config import BackboneConfig, CovoConfig
from model.covo.memory.parameters import (
    adapter_parameters,
    block_linears,
    block_vectors,
    embedding_parameters,
    encoder_parameters,
)
from model.covo.memory.plan import SYSTEM_TOKENS
from model.covo.memory.workspace import HIDDEN_ROWS
from voices.folders import nearest

_GB = 1e9
_BYTES_A_SECOND = {"dialogues": 18e3, "questions": 18e3}
"""FLAC of a voice at 16 kHz."""
_QUESTION_S, _REPLY_S = 3.5, 9.0
"""Lengths that are assumed of a turn and of its reply."""
_PROMPT_TOKENS = 24
"""Of a prompt that the weights write, as is assumed."""
_TOKENS_A_SECOND = 20 / 0.6
_DECODE_SHARE = 0.63
"""Share of a card's bandwidth at which a pass reads weights and cache."""
_HISTORY_TOKENS = 1_000
"""Of a conversation, in the middle of its replies."""
_PASS_S, _CHOICE_S = 0.0022, 0.0001
"""What a pass takes besides, and choosing the token of each stream. For 32 streams an H200 needed
7.2 ms and 10.3 with the choice (`covo bench network --streams 32`, random weights)."""
_BUSY_STREAMS = 0.85
"""Share of the streams that are in use, because a block waits for its longest conversation."""
_LIKELY_BYTES = 11
"""Of one likely token in the JSON."""
_PASSES = 4
"""Stage A: the teacher's pass, and three times the student's."""
_MINUTE_POSITIONS = 1_450
"""Of a minute of dialogue."""
_LAID_OUT_A_SECOND = 430.0
"""Seconds of dialogue that one core lays out and writes in a second (AMD EPYC)."""
_STEP_S = 0.0038
"""What a step of the duplex loop takes besides its passes: an H200 listened in 8.6 ms, with one
pass, and spoke in 27.4, with five (`covo bench duplex`, random weights)."""
_SPEECH_OPERATIONS = 3.4e12
"""For a second of speech in one piece."""
_READ_SHARE = 0.381 / 7
"""Whisper's time as a share of the speech that it reads, on two cores."""
STAGES = (
    *("prompts", "questions", "answers", "dialogues", "encoder", "training"),
    *("calibrate", "compare"),
)
"""Whose cost is known, in their order."""


@dataclass(frozen=True, slots=True)
class GraphicsCard:
    """``tflops`` that training reaches, memory ``bandwidth`` in TB/s by the data sheet, and
    ``memory`` in GB.

    An H200's training was measured (`covo bench train --size full`): 24 % of a matrix product's
    speed, which is assumed of the others, too.
    """

    tflops: float
    bandwidth: float
    memory: float


CARDS = {
    "h200": GraphicsCard(190.0, 4.8, 141.0),
    "h100": GraphicsCard(180.0, 3.35, 80.0),
    "4090": GraphicsCard(40.0, 1.01, 24.0),
    "3090": GraphicsCard(17.0, 0.94, 24.0),
}


@dataclass(frozen=True, slots=True)
class StageCost:
    """What a stage takes. ``hours`` None: not known; ``memory``: of the card, in bytes."""

    disk: float
    hours: float | None = None
    memory: float = 0.0


def find_card(name: str) -> GraphicsCard | None:
    """Return the card called ``name``, or with an empty name this machine's, if it is a known one.

    Raises: CliError for an unknown name.
    """
    if name and name.lower() not in CARDS:
        raise CliError(f"no figures for a card {name!r}; known: {', '.join(CARDS)}")
    if name:
        return CARDS[name.lower()]
    import torch

    if not torch.cuda.is_available():
        return None
    own = torch.cuda.get_device_name().lower()
    return next((card for known, card in CARDS.items() if known in own), None)


def stage_cost(stage: str, recipe: FdRecipe, card: GraphicsCard | None) -> StageCost:
    """Return what ``stage``, one of ``STAGES``, takes in all. Raises: NetworkConfigError,
    TrainingError if a package is missing."""
    if stage == "questions":
        return StageCost(recipe.questions.count * _QUESTION_S * _BYTES_A_SECOND[stage])
    if stage == "dialogues":
        seconds = recipe.dialogues.hours * 3600
        return StageCost(seconds * _BYTES_A_SECOND[stage])
    config = CovoConfig.read(Path(recipe.model.folder) / "config.json")
    weights = _Weights.of(config)
    match stage:
        case "prompts":
            cost = _prompts_cost(recipe, weights, card)
        case "answers":
            cost = _answers_cost(recipe, weights, card)
        case "encoder":
            cost = _encoder_cost(recipe, weights, card)
        case "calibrate":
            cost = _calibration_cost(recipe, weights, card)
        case "compare":
            cost = _comparison_cost(recipe, config, weights, card)
        case _:
            cost = _training_cost(recipe, config, weights, card)
    return cost


@dataclass(frozen=True, slots=True)
class _Weights:
    """Parameters of a network by part: the language model's ``blocks``, its embedding or head
    (``matrix``), the ``encoder`` and the ``adapter``; ``item``: bytes of each."""

    backbone: BackboneConfig
    blocks: int
    matrix: int
    encoder: int
    adapter: int
    item: int

    @classmethod
    def of(cls, config: CovoConfig) -> _Weights:
        backbone = config.backbone
        linears = sum(rows * columns for rows, columns in block_linears(backbone))
        return cls(
            backbone,
            backbone.layers * (linears + block_vectors(backbone)),
            embedding_parameters(backbone),
            encoder_parameters(config.encoder),
            adapter_parameters(config),
            4 if backbone.dtype == "float32" else 2,
        )

    @property
    def bytes(self) -> int:
        return (self.blocks + 2 * self.matrix + self.encoder + self.adapter) * self.item

    def reading_seconds(self, streams: int, history: int, card: GraphicsCard) -> float:
        """Return the time in which a pass for ``streams`` of ``history`` tokens reads weights and
        cache."""
        read = (self.blocks + self.matrix) * self.item
        read += streams * self.backbone.kv_bytes(history, self.item)
        return read / (card.bandwidth * 1e12 * _DECODE_SHARE)

    def token_seconds(self, streams: int, history: int, card: GraphicsCard) -> float:
        """Return the time that a token takes where ``streams`` of ``history`` tokens share each
        pass."""
        step = self.reading_seconds(streams, history, card) + _PASS_S + streams * _CHOICE_S
        return step / streams / _BUSY_STREAMS

    def hearing_operations(self, seconds: float) -> float:
        """Return the operations in which the encoder hears ``seconds`` once."""
        frames = 50.0
        return 2 * self.encoder * frames * seconds * 1.2

    def decoding_bytes(self, streams: int, longest: int) -> float:
        """Return the memory of so many streams of at most ``longest`` tokens."""
        return self.bytes + streams * self.backbone.kv_bytes(longest, self.item) + 2 * _GB


def _prompts_cost(recipe: FdRecipe, weights: _Weights, card: GraphicsCard | None) -> StageCost:
    settings, count = recipe.prompts, recipe.questions.count
    tokens = count * settings.attempts * _PROMPT_TOKENS
    hours = None
    if card is not None:
        each = weights.token_seconds(settings.streams, settings.limit, card)
        hours = tokens * each / 3600
    memory = weights.decoding_bytes(settings.streams, settings.longest + 2048)
    return StageCost(2 * count * _PROMPT_TOKENS * 5, hours, memory)


def _answers_cost(recipe: FdRecipe, weights: _Weights, card: GraphicsCard | None) -> StageCost:
    settings = recipe.answers
    tokens = recipe.questions.count * _REPLY_S * _TOKENS_A_SECOND
    texts = tokens / 4
    disk = tokens * 5 + texts * settings.likely * _LIKELY_BYTES
    hours = None
    if card is not None:
        again = 2 * weights.blocks / (card.tflops * 1e12)  # each reply is read once more
        each = weights.token_seconds(settings.streams, _HISTORY_TOKENS, card)
        hours = tokens * (each + again) / 3600
    longest = len(recipe.questions.turns) * settings.limit + 2048
    return StageCost(disk, hours, weights.decoding_bytes(settings.streams, longest))


def _encoder_cost(recipe: FdRecipe, weights: _Weights, card: GraphicsCard | None) -> StageCost:
    seconds = recipe.encoder.steps * recipe.encoder.seconds_per_step
    operations = _PASSES * weights.hearing_operations(seconds)
    hours = None if card is None else operations / (card.tflops * 1e12) / 3600
    memory = 2 * (weights.encoder + weights.adapter) * 4 + 2 * weights.adapter * 4 + 6 * _GB
    return StageCost(weights.bytes + 3 * weights.adapter * 4, hours, memory)


def _training_cost(
    recipe: FdRecipe, config: CovoConfig, weights: _Weights, card: GraphicsCard | None
) -> StageCost:
    """Count a step; this takes half a minute for the published network."""
    from covo_cli.bench.duplex.steps import bench_profile
    from covo_cli.bench.duplex.training import bench_batch, count_step
    from model.duplex.protocol.grammar import Grammar

    training = recipe.training
    grammar = Grammar(bench_profile(config), config)
    positions = training.positions or training.batch * _MINUTE_POSITIONS
    counted = count_step(config, training, bench_batch(grammar, positions))
    hours = None
    if card is not None:
        batches = training.steps * training.accumulate
        hours = batches * counted["operations"] / (card.tflops * 1e12) / 3600
    kept = training.best if training.judge_every else 0
    state = 4 * counted["trained_parameters"] + counted["moments_bytes"]
    disk = weights.bytes + kept * 4 * counted["trained_parameters"] + 2 * state
    return StageCost(disk, hours, counted["device_gb"] * _GB)


def _calibration_cost(recipe: FdRecipe, weights: _Weights, card: GraphicsCard | None) -> StageCost:
    """Count the held-out turns: they are laid out in each round, and heard once in one pass."""
    timing, backbone = recipe.timing, weights.backbone
    gaps = zip(timing.gap_shares, (timing.gap, timing.gap_longer), strict=True)
    turn_s = _QUESTION_S + _REPLY_S + sum(share * fmean(gap) for share, gap in gaps)
    seconds = recipe.questions.held_out * recipe.calibration.rounds * turn_s
    hours = None
    if card is not None:
        operations = weights.hearing_operations(seconds)
        operations += 2 * weights.blocks * seconds / 60 * _MINUTE_POSITIONS
        hours = (operations / (card.tflops * 1e12) + seconds / _LAID_OUT_A_SECOND) / 3600
    rows = timing.longer / 60 * _MINUTE_POSITIONS
    work = rows * (HIDDEN_ROWS * backbone.hidden + 3 * backbone.ffn) * weights.item
    return StageCost(seconds * _BYTES_A_SECOND["dialogues"], hours, weights.bytes + work + 2 * _GB)


def _comparison_cost(
    recipe: FdRecipe, config: CovoConfig, weights: _Weights, card: GraphicsCard | None
) -> StageCost:
    """Count the first turns of the held-out conversations: each is asked through the loop, and the
    teacher reads both answers, as Whisper does their sound."""
    from covo_cli.bench.duplex.steps import bench_profile

    profile, limit = bench_profile(config), recipe.answers.limit
    turns = sum(count * share for count, share in enumerate(recipe.questions.turns, 1))
    asked = recipe.questions.held_out / turns
    tokens = SYSTEM_TOKENS + _REPLY_S * _TOKENS_A_SECOND
    hours = None
    if card is not None:
        chunk_s = profile.chunk_ms / 1000
        listening, speaking = _QUESTION_S / chunk_s, _REPLY_S / chunk_s
        passes = listening + speaking * (1 + profile.codes_per_chunk)
        asking_s = passes * weights.reading_seconds(1, round(tokens), card)
        asking_s += (listening + speaking) * _STEP_S
        operations = 2 * (2 * weights.blocks * tokens + _REPLY_S * _SPEECH_OPERATIONS)
        judging_s = operations / (card.tflops * 1e12) + 2 * _REPLY_S * _READ_SHARE
        hours = asked * (asking_s + judging_s) / 3600
    longest = SYSTEM_TOKENS + 2 * limit + 2048
    disk = 2 * asked * tokens * 5
    return StageCost(disk, hours, weights.decoding_bytes(1, max(longest, profile.cache_tokens)))


def cost_lines(
    stage: str, cost: StageCost, card: GraphicsCard | None, folder: Path
) -> Iterator[str]:
    """Yield what a dry run tells of ``stage`` in the work ``folder``."""
    free = shutil.disk_usage(nearest(folder.resolve())).free
    yield f"{stage}, in all (an estimate):"
    room = "" if cost.disk < free else "; make room"
    yield f"  disk: {cost.disk / _GB:.1f} GB ({free / _GB:.0f} GB free{room})"
    if cost.memory and card is None:
        yield f"  memory of the card: {cost.memory / _GB:.1f} GB"
        yield f"  hours: not known for this machine; pass --gpu {'|'.join(CARDS)}"
    elif cost.memory and card is not None:
        fits = "fits" if cost.memory < card.memory * _GB else "does not fit"
        yield f"  memory of the card: {cost.memory / _GB:.1f} of {card.memory:.0f} GB, {fits}"
        hours = cost.hours or 0.0
        yield f"  hours: {hours:.{1 if hours >= 0.1 else 2}f}"
    else:
        yield "  hours: on the processor, see the time left once it runs"
