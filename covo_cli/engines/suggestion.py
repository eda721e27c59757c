"""Suggest chat models that this machine can run fast enough to talk with."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

import psutil

from covo_cli.engines.model_choice import LITE_MEMORY, chat_memory
from model.lite import CHAT_FILE
from model.lite.gguf import own_cores, writing_speed
from model.weights.files import WeightState
from model.weights.hub.source import ModelUse
from model.weights.hub.store import ModelStatus
from model.weights.packages import WeightStore

SPEECH_TOKENS_PER_S = 4.0
"""Three words a second."""
ENOUGH_TOKENS_PER_S = 2 * SPEECH_TOKENS_PER_S
"""Twice the rate of speech, because hearing and speaking need the same cores."""

EMBEDDED_PARAMETERS = 134_515_008
"""Of SmolLM2-135M."""


@dataclass(frozen=True, slots=True)
class MeasuredMachine:
    """Physical cores for a chat model, bytes of memory, and the tokens per second that the
    embedded chat model writes."""

    cores: int
    free: int
    total: int
    speed: float


@dataclass(frozen=True, slots=True)
class Suggestion:
    """What a chat model would be like: its estimated tokens per second, and the bytes of memory
    that the engine would need with it."""

    status: ModelStatus
    speed: float
    memory: int
    fits: bool

    @property
    def fast(self) -> bool:
        """Whether it is fast enough to talk with."""
        return self.speed >= ENOUGH_TOKENS_PER_S

    @property
    def command(self) -> str:
        """What gets it or, if it is here, uses it."""
        verb = "use" if self.status.state is WeightState.READY else "pull"
        return f"covo models {verb} {self.status.model.name}"


def measured(weights: WeightStore) -> MeasuredMachine:
    """Measure this machine, with the cores that another chat model would use.

    Raises: WeightsError when the embedded chat model is missing, ChatError.
    """
    path = weights.path("smollm2-135m", CHAT_FILE)
    memory, cores = psutil.virtual_memory(), own_cores()
    speed = writing_speed(path, threads=cores)
    return MeasuredMachine(cores, memory.available, memory.total, speed)


def suggestions(models: Iterable[ModelStatus], machine: MeasuredMachine) -> tuple[Suggestion, ...]:
    """Judge the chat models among ``models``, the smallest first.

    Each token takes all weights once, so the speed is taken to fall as their number grows. How they
    are quantised matters less: SmolLM2 writes 73 tokens/s in Q4_1, 82 in Q8_0 and 101 in Q4_0.
    """
    judged = []
    for status in models:
        if status.model.use is ModelUse.CHAT:
            size = status.size or status.model.about
            need = chat_memory(size) + LITE_MEMORY
            speed = machine.speed * EMBEDDED_PARAMETERS / status.model.parameters
            judged.append(Suggestion(status, speed, need, need <= machine.free))
    return tuple(sorted(judged, key=lambda one: one.memory))


def suggestion_lines(machine: MeasuredMachine, judged: Sequence[Suggestion]) -> Iterator[str]:
    """Describe the machine, each model, and the rule."""
    yield (
        f"This machine: {machine.cores} CPU core{'s' * (machine.cores != 1)}, "
        f"{machine.free / 1e9:.1f} of {machine.total / 1e9:.1f} GB of memory free; the embedded "
        f"chat model writes {machine.speed:.0f} tokens/s now"
    )
    for one in judged:
        yield (
            f"{one.status.model.name:<15} ~{one.speed:>5.1f} tokens/s  "
            f"{one.memory / 1e9:>4.1f} GB  {_verdict(one)}"
        )
    yield (
        f"Fast enough is {ENOUGH_TOKENS_PER_S:.0f} tokens/s: twice the rate of speech (3 words or "
        f"{SPEECH_TOKENS_PER_S:.0f} tokens a second), because hearing and speaking need the same "
        "cores. Speeds are estimated by the number of weights; memory is that of lite with the "
        "model."
    )


def suggestion_dict(machine: MeasuredMachine, judged: Sequence[Suggestion]) -> dict[str, object]:
    """Convert what was measured and judged for JSON."""
    return {
        "cores": machine.cores,
        "memory_free_bytes": machine.free,
        "memory_bytes": machine.total,
        "embedded_tokens_per_s": round(machine.speed, 1),
        "enough_tokens_per_s": ENOUGH_TOKENS_PER_S,
        "models": [
            {
                "name": one.status.model.name,
                "tokens_per_s": round(one.speed, 1),
                "memory_bytes": one.memory,
                "fast_enough": one.fast,
                "fits": one.fits,
                "state": one.status.state.value,
                "command": one.command,
            }
            for one in judged
        ],
    }


def _verdict(one: Suggestion) -> str:
    if not one.fits:
        return "does not fit the free memory"
    return one.command if one.fast else "too slow to talk with"
