"""Time the steps of conversations that share the passes of one network, as in ``covo serve``.

Each has a thread of its own and takes one step after another without a pause: the worst case, in
which all are due at once. Only the language model's passes are shared. A chunk of full duplex
includes its encoder; speech is left out, and so is what Chat hears.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import partial
from itertools import takewhile
from typing import Any

import numpy as np
import torch

from audio_io.worker import Worker
from covo_cli.bench.duplex.steps import bench_profile
from covo_cli.bench.network.streams import PROMPT_TOKENS
from covo_cli.bench.network.timing import milliseconds
from model.covo.batch.sharing import SharedDecoders
from model.covo.config.precision import Precision
from model.covo.config.sizes import NetworkSize
from model.covo.language.decoder import Decoder
from model.covo.language.network import CovoNetwork
from model.covo.language.stepping import decode_stream
from model.covo.memory.plan import ASSISTANT_TOKENS_PER_SECOND
from model.duplex.network.context import shared_decoders
from model.duplex.network.loop import DuplexLoop
from model.duplex.network.network import DuplexNetwork
from model.duplex.protocol.grammar import AssistantState

SKIPPED = 2
"""First steps of a run, which start the pipeline."""
_ROUNDS = 5
"""Runs of a plain conversation and of one beside empty places, in alternation."""
_CHUNK_TOKENS = 5
"""Tokens of a speaking chunk, each a pass."""
_READY_S = 60.0

Begin = Callable[[int], Iterator[int]]
"""Begins a conversation of so many steps; yields the tokens of each when it has been taken."""


@dataclass(frozen=True, slots=True)
class _Engine:
    """``sessions`` share their passes, ``plain`` shares them with nobody. ``left_ms``: the time
    that speech leaves for a step, which is a token or a chunk, as ``step`` says."""

    step: str
    left_ms: float
    plain: Begin
    sessions: Sequence[Begin]


def session_counts(most: int) -> list[int]:
    """Return 1, 2, 4 and so on below ``most``, and ``most``."""
    return [*(1 << power for power in range((most - 1).bit_length())), most]


def sessions_bytes(size: NetworkSize, precision: Precision, most: int, steps: int) -> int:
    """Return the bytes of the caches of ``most`` conversations and a plain one; 0 for one."""
    if most == 1:
        return 0
    tokens = PROMPT_TOKENS + steps
    if not precision.quantised:
        tokens = max(tokens, bench_profile(size.covo).cache_tokens)
    return size.covo.backbone.kv_bytes((most + 1) * tokens, precision.item_bytes)


def measure_sessions(
    network: CovoNetwork, precision: Precision, most: int, steps: int
) -> dict[str, Any]:
    """Time ``steps`` tokens of each of up to ``most`` conversations at once: of Chat, and in
    speaking chunks of full duplex, which does not run in integers."""
    device = network.device
    with decode_stream(device):
        chat = _figures(_chat(network, most, PROMPT_TOKENS + steps), device, steps)
        if precision.quantised:
            return {"places": most, "chat": chat, "duplex": None}
        chunks = max(SKIPPED + 1, steps // _CHUNK_TOKENS)
        duplex = _figures(_duplex(network, most), device, chunks)
    return {"places": most, "chat": chat, "duplex": duplex}


def keeping_pace(counts: Sequence[dict[str, Any]]) -> int:
    """Return the most sessions that keep pace, as all fewer do; 0 if not even one does."""
    kept = list(takewhile(lambda entry: entry["share_of_time"] <= 1, counts))
    return kept[-1]["sessions"] if kept else 0


def time_together(
    conversations: Sequence[Iterator[int]], device: torch.device
) -> tuple[list[float], float]:
    """Take the steps of each on a thread of its own; each yields the tokens of a step after it.

    Return the seconds of every step, without the first few of each, and the tokens per second of
    all. Raises: what a step raises.
    """
    ready = threading.Barrier(len(conversations))
    times: list[float] = []
    tokens: list[int] = []

    def talk(conversation: Iterator[int]) -> None:
        mine = []
        with decode_stream(device):
            ready.wait(_READY_S)
            began = time.perf_counter()
            for made in conversation:
                now = time.perf_counter()
                mine.append(now - began)
                tokens.append(made)
                began = now
        times.extend(mine[SKIPPED:])

    workers = [
        Worker(partial(talk, conversation), f"bench-session-{number}")
        for number, conversation in enumerate(conversations)
    ]
    began = time.perf_counter()
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    seconds = time.perf_counter() - began
    for worker in workers:
        if worker.failure is not None:
            raise worker.failure
    return times, sum(tokens) / seconds


def _chat(network: CovoNetwork, most: int, capacity: int) -> _Engine:
    ids = torch.arange(PROMPT_TOKENS) % network.config.placeholder
    prompt = network.embed(ids)

    def reply(decoder: Decoder) -> Begin:
        decoder.warm_up()

        def begin(steps: int) -> Iterator[int]:
            decoder.rewind(0)
            decoder.append(prompt)
            return (1 for _ in decoder.generate(ids[-64:], stop=(), limit=steps))

        return begin

    shared = SharedDecoders(network, most, capacity)
    sessions = [reply(shared.decoder()) for _ in range(most)]
    left = 1000 / ASSISTANT_TOKENS_PER_SECOND
    return _Engine("token", left, reply(Decoder(network, capacity)), sessions)


def _duplex(covo: CovoNetwork, most: int) -> _Engine:
    profile = bench_profile(covo.config)
    network = DuplexNetwork(covo, profile)
    random = np.random.default_rng(0)
    audio = random.normal(0, 0.05, profile.chunk_samples).astype(np.float32)

    def talk(loop: DuplexLoop) -> Begin:
        context = loop.warm_up().context

        def begin(chunks: int) -> Iterator[int]:
            state = loop.start(context=context)
            # Random weights would not keep speaking.
            speaking = AssistantState(True, profile.lead + 1)
            for _ in range(chunks):
                step, state = loop.step(replace(state, assistant=speaking), audio)
                yield step.passes

        return begin

    shared = shared_decoders(covo, profile, most)
    sessions = [talk(DuplexLoop(network, decoders=shared.decoder)) for _ in range(most)]
    return _Engine("chunk", float(profile.chunk_ms), talk(DuplexLoop(network)), sessions)


def _figures(engine: _Engine, device: torch.device, steps: int) -> dict[str, Any]:
    counts = []
    for count in session_counts(len(engine.sessions)):
        times, rate = time_together([begin(steps) for begin in engine.sessions[:count]], device)
        taken = milliseconds(times)
        counts.append(
            {
                "sessions": count,
                **taken,
                "share_of_time": round(taken["p95_ms"] / engine.left_ms, 4),
                "tokens_per_second": round(rate, 1),
            }
        )
    return {
        "step": engine.step,
        "steps": steps,
        "left_ms": round(engine.left_ms, 3),
        "counts": counts,
        "keeping_pace": keeping_pace(counts),
        "alone": _alone(engine, device, max(SKIPPED + 1, steps // _ROUNDS)),
    }


def _alone(engine: _Engine, device: torch.device, steps: int) -> dict[str, float]:
    """Time a conversation that shares with nobody and one beside empty places, in alternation."""
    plain: list[float] = []
    shared: list[float] = []
    for _ in range(_ROUNDS):
        plain += time_together([engine.plain(steps)], device)[0]
        shared += time_together([engine.sessions[0](steps)], device)[0]
    without, beside = (milliseconds(times)["median_ms"] for times in (plain, shared))
    return {
        "plain_median_ms": without,
        "shared_median_ms": beside,
        "cost_of_sharing": round(beside / without - 1, 4),
    }
