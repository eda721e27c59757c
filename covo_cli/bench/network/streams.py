"""Time replies that are generated several at a time, beside one alone."""

from __future__ import annotations

from collections.abc import Generator
from typing import Any

import torch

from covo_cli.bench.network.subject import Subject
from model.covo.batch.batch import DecoderBatch
from model.covo.batch.generation import ReplyRequest, run_talks
from model.covo.config.precision import Precision
from model.covo.config.sizes import NetworkSize
from model.covo.language.decoder import Decoder
from model.covo.memory.plan import SYSTEM_TOKENS

PROMPT_TOKENS = SYSTEM_TOKENS + 64
"""System prompt and turn."""
_WARM_UP_TOKENS = 4


def streams_bytes(size: NetworkSize, precision: Precision, streams: int, steps: int) -> int:
    """Return the bytes of the cache of ``streams`` replies of ``steps`` tokens; 0 for one."""
    tokens = streams * (PROMPT_TOKENS + steps) * (streams > 1)
    return size.covo.backbone.kv_bytes(tokens, precision.item_bytes)


def measure_streams(subject: Subject, streams: int, steps: int) -> dict[str, Any]:
    """Time ``streams`` replies of ``steps`` tokens at once and one by itself, from the prefill of
    their prompts on."""
    network, clock = subject.network, subject.clock
    ids = torch.arange(PROMPT_TOKENS) % subject.size.covo.placeholder
    embedded = network.embed(ids)
    batch = DecoderBatch(network, streams, PROMPT_TOKENS + steps)

    def together(tokens: int) -> None:
        def talk(decoder: Decoder) -> Generator[ReplyRequest, tuple[int, ...], None]:
            decoder.append(embedded)
            yield ReplyRequest(ids[-64:], stop=(), limit=tokens)

        for _ in run_talks(network, batch, [talk] * streams):
            pass

    def alone() -> None:
        subject.decoder.rewind(0)
        subject.decoder.append(embedded)
        for _ in subject.decoder.generate(ids[-64:], stop=(), limit=steps):
            pass

    together(_WARM_UP_TOKENS)
    prefills = clock.seconds(lambda: together(1))
    both = clock.seconds(lambda: together(steps))
    (one,) = clock.repeated(alone, 1, warm_ups=1)
    return {
        "streams": streams,
        "prompt_tokens": PROMPT_TOKENS,
        "steps": steps,
        "step_ms": round(1000 * (both - prefills) / (steps - 1), 4),
        "prefill_ms": round(1000 * prefills / streams, 4),
        "tokens_per_second": round(streams * steps / both, 1),
        "tokens_per_second_alone": round(steps / one, 1),
        "speed_up": round(streams * one / both, 2),
    }
