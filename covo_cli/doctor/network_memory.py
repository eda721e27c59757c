"""Where Covo-Audio-Chat would fit: on this machine, and on common graphics cards."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

from covo_cli.doctor.machine import Gpu
from model.covo.config.precision import Precision
from model.covo.config.sizes import FULL
from model.covo.memory.memory_fit import LONGEST, MemoryFit
from model.covo.memory.memory_plan import MemorySetting

CARDS_GB = (8, 12, 16, 24, 48, 80)
IDLE_SHARE = 0.96
"""Of a card's memory, what is free while nothing but a screen uses it."""

_PRECISIONS = (Precision.BF16, Precision.INT8, Precision.INT4)


@dataclass(frozen=True, slots=True)
class Fit:
    """``precision`` of the language model with ``token2wav``'s: the ``minutes`` of talk that fit
    (0: not even one), and the bytes that ``wanted`` minutes take."""

    precision: Precision
    token2wav: Precision
    minutes: float
    wanted: float
    total: int


@dataclass(frozen=True, slots=True)
class FitRow:
    """What fits on ``device``, which has ``free`` bytes."""

    device: str
    free: int
    fits: tuple[Fit, ...]


def fit_rows(gpus: Sequence[Gpu], host_free: int) -> Iterator[FitRow]:
    """This machine's cards and processor (with ``host_free`` bytes), then common cards."""
    for gpu in gpus:
        yield _row(f"this machine: {gpu.name}", gpu.free, "cuda")
    yield _row("this machine: processor", host_free, "cpu")
    for size in CARDS_GB:
        yield _row(f"a card of {size} GB", round(size * 2**30 * IDLE_SHARE), "cuda")


def _row(name: str, free: int, device: str) -> FitRow:
    plans = MemoryFit(FULL.covo, FULL.token2wav, device, FULL.voice_codes)
    return FitRow(name, free, tuple(_fit(plans, precision, free) for precision in _PRECISIONS))


def _fit(plans: MemoryFit, precision: Precision, free: int) -> Fit:
    """With token2wav in fp32 where that leaves room for the wanted minutes, else in bf16."""
    setting = MemorySetting(precision)
    if plans.plan(setting).total > free:
        setting = replace(setting, token2wav=Precision.BF16)
    return Fit(
        precision,
        setting.token2wav,
        plans.longest(setting, free),
        setting.minutes,
        plans.plan(setting).total,
    )


def shown_minutes(fit: Fit) -> str:
    """``12 min``, or ``-`` where nothing fits; ``*`` when token2wav has to be in bf16."""
    if not fit.minutes:
        return "-"
    most = "> " if fit.minutes >= LONGEST else ""
    return f"{most}{fit.minutes:g} min" + (" *" if fit.token2wav is Precision.BF16 else "")
