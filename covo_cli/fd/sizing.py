"""Tell before a stage runs what it takes: hours, disk and memory, on a named graphics card.

Hours follow from arithmetic and memory bandwidth, and from rates that cards of a kind reach; they
are estimates, and none of them was measured on Chat's weights.
"""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from covo_cli.errors import CliError
from covo_cli.fd.recipe import FdRecipe
from model.covo.config.network_config import CovoConfig
from model.covo.memory.parameters import (
    adapter_parameters,
    block_linears,
    block_vectors,
    embedding_parameters,
    encoder_parameters,
)
from voices.folders import nearest

_GB = 1e9
_BYTES_A_SECOND = {"dialogues": 18e3, "questions": 18e3}
"""FLAC of a voice at 16 kHz."""
_QUESTION_S, _REPLY_S = 3.5, 9.0
"""Lengths that are assumed of a turn and of its reply."""
_TOKENS_A_SECOND = 20 / 0.6
_DECODE_SHARE = 0.63
"""Share of a card's bandwidth that decoding reaches, measured on an H100 (7.17 ms a step)."""
_HISTORY_TOKENS = 1_000
"""Of a conversation, in the middle of its replies."""
_PASS_S, _CHOICE_S = 0.0125, 0.0004
"""Host time of a pass for many streams, and of choosing the token of each: about 740 and 25
kernels, at 17 us for each on the host of an H100."""
_BUSY_STREAMS = 0.85
"""Share of the streams that are in use, because a block waits for its longest conversation."""
_LIKELY_BYTES = 11
"""Of one likely token in the JSON."""
_PASSES = 4
"""Stage A: the teacher's pass, and three times the student's."""


@dataclass(frozen=True, slots=True)
class GraphicsCard:
    """``tflops`` that training reaches, memory ``bandwidth`` in TB/s by the data sheet, and
    ``memory`` in GB."""

    tflops: float
    bandwidth: float
    memory: float


CARDS = {
    "h200": GraphicsCard(300.0, 4.8, 141.0),
    "h100": GraphicsCard(300.0, 3.35, 80.0),
    "4090": GraphicsCard(70.0, 1.01, 24.0),
    "3090": GraphicsCard(30.0, 0.94, 24.0),
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
    """Return what ``stage`` takes in all. Raises: NetworkConfigError."""
    turns = recipe.questions.count
    if stage == "questions":
        return StageCost(turns * _QUESTION_S * _BYTES_A_SECOND[stage])
    if stage == "dialogues":
        seconds = recipe.dialogues.hours * 3600
        return StageCost(seconds * _BYTES_A_SECOND[stage])
    config = CovoConfig.read(Path(recipe.model.folder) / "config.json")
    backbone, encoder = config.backbone, encoder_parameters(config.encoder)
    linears = sum(rows * columns for rows, columns in block_linears(backbone))
    blocks = backbone.layers * (linears + block_vectors(backbone))
    matrix = embedding_parameters(backbone)
    adapter = adapter_parameters(config)
    item = 4 if backbone.dtype == "float32" else 2
    if stage == "answers":
        settings = recipe.answers
        tokens = turns * _REPLY_S * _TOKENS_A_SECOND
        texts = tokens / 4
        disk = tokens * 5 + texts * settings.likely * _LIKELY_BYTES
        hours = None
        if card is not None:
            read = (blocks + matrix) * item
            read += settings.streams * backbone.kv_bytes(_HISTORY_TOKENS, item)
            on_card = read / (card.bandwidth * 1e12 * _DECODE_SHARE)
            step = max(on_card, _PASS_S + settings.streams * _CHOICE_S)
            again = 2 * blocks / (card.tflops * 1e12)  # each reply is read once more
            hours = tokens * (step / settings.streams / _BUSY_STREAMS + again) / 3600
        longest = len(recipe.questions.turns) * settings.limit + 2048
        cache = settings.streams * backbone.kv_bytes(longest, item)
        memory = (blocks + 2 * matrix + encoder + adapter) * item + cache + 2 * _GB
        return StageCost(disk, hours, memory)
    seconds = recipe.encoder.steps * recipe.encoder.seconds_per_step
    frames = 50.0
    flops = _PASSES * 2 * encoder * frames * seconds * 1.2
    hours = None if card is None else flops / (card.tflops * 1e12) / 3600
    disk = (blocks + 2 * matrix + encoder + adapter) * item + 3 * adapter * 4
    return StageCost(disk, hours, 2 * (encoder + adapter) * 4 + 2 * adapter * 4 + 6 * _GB)


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
        yield f"  hours: {cost.hours or 0.0:.1f}"
    else:
        yield "  hours: on the processor, see the time left once it runs"
