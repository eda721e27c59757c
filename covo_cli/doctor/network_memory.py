"""Compute how many minutes of talk with Covo-Audio-Chat fit this machine and common GPUs."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

from covo_cli.doctor.machine import Gpu
from model.covo.config.gpu import is_modern
from model.covo.config.precision import (
    SPEECH_BF16,
    Precision,
    SpeechPrecision,
    token2wav_precision,
)
from model.covo.config.sizes import FULL
from model.covo.memory.fit import LONGEST, MemoryFit
from model.covo.memory.plan import MemorySetting

CARDS_GB = (8, 12, 16, 24, 48, 80)
IDLE_SHARE = 0.96
"""Share of a card's memory that is free while it only drives a screen."""

_PRECISIONS = (Precision.BF16, Precision.INT8, Precision.INT4)


@dataclass(frozen=True, slots=True)
class Fit:
    """Precisions of language model and token2wav, the ``minutes`` of talk that fit (0: less than
    one), and the ``total`` bytes that ``wanted`` minutes need."""

    precision: Precision
    token2wav: SpeechPrecision
    minutes: float
    wanted: float
    total: int


@dataclass(frozen=True, slots=True)
class FitRow:
    """What fits on ``device`` with ``free`` bytes."""

    device: str
    free: int
    fits: tuple[Fit, ...]


def fit_rows(gpus: Sequence[Gpu], host_free: int) -> Iterator[FitRow]:
    """Yield this machine's GPUs, its CPU (with ``host_free`` bytes), then common cards."""
    own = [
        (f"this machine: {gpu.name}", gpu.free, "cuda", is_modern(gpu.capability)) for gpu in gpus
    ]
    cards = [(f"a card of {n} GB", round(n * 2**30 * IDLE_SHARE), "cuda", True) for n in CARDS_GB]
    host = ("this machine: CPU", host_free, "cpu", True)
    for name, free, device, modern in (*own, host, *cards):
        plans = MemoryFit(FULL.covo, FULL.token2wav, device, FULL.voice_codes, modern)
        yield FitRow(name, free, tuple(_fit(plans, precision, free) for precision in _PRECISIONS))


def _fit(plans: MemoryFit, precision: Precision, free: int) -> Fit:
    """Use what ``auto`` means for token2wav if the wanted minutes still fit, else bf16."""
    setting = MemorySetting(precision, token2wav_precision("auto", plans.device))
    if plans.plan(setting).total > free:
        setting = replace(setting, token2wav=SPEECH_BF16)
    minutes, total = plans.longest(setting, free), plans.plan(setting).total
    return Fit(precision, setting.token2wav, minutes, setting.minutes, total)


def shown_minutes(fit: Fit) -> str:
    """Format as ``12 min`` or ``-``, with ``*`` if token2wav must be in bf16."""
    if not fit.minutes:
        return "-"
    most = "> " if fit.minutes >= LONGEST else ""
    return f"{most}{fit.minutes:g} min" + (" *" if fit.token2wav == SPEECH_BF16 else "")
