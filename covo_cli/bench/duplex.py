"""What a step of the full-duplex loop costs, and whether that stays so; and whether a network that
was trained on tones takes turns.

The step's cost needs no weights: the network is random and, because a random network would not take
turns, told whose turn it is: ``TALK`` of every ``PERIOD`` chunks the assistant speaks, the rest it
listens. Chunks are given as fast as they go; each step's time is what is measured, on a GPU up to
the moment its codes are on the host. Making sound of the codes is not part of it.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import torch

from covo_cli.bench.machine import machine
from model.covo.config import CovoConfig
from model.covo.precision import Precision
from model.covo.random_weights import random_network
from model.covo.sizes import network_size
from model.duplex.behaviours import (
    BEHAVIOURS,
    HELD_OUT,
    PATIENCE,
    ChanceListener,
    Listener,
    LoopListener,
    measure,
    measure_conversation,
)
from model.duplex.grammar import Grammar, Place, Turn
from model.duplex.loop import DuplexLoop
from model.duplex.network import DuplexNetwork
from model.duplex.profile import ContextProfile, DuplexProfile, default_profile
from model.duplex.sequence import encode
from model.duplex.tones import WORDS, dialogue

PERIOD = 75
TALK = 45
"""Chunks: a turn of 4.8 s, an answer of 7.2 s, five times a minute."""

_WARM_UP = 20
_CONVERSATIONS = 8
_A_THIRD = 12
"""Trials in a third of a long conversation."""


def measure_steps(
    size: str,
    device: str,
    precision: Precision,
    minutes: float,
    progress: Callable[[int, int], None] = lambda done, total: None,
) -> dict[str, Any]:
    """Figures of ``minutes`` of simulated talk with a random network of ``size``."""
    config = network_size(size).covo
    profile = _profile(config)
    covo = random_network(config, device=device, precision=precision)
    loop = DuplexLoop(DuplexNetwork(covo, profile))
    chunks = max(1, round(minutes * 60_000 / profile.chunk_ms / PERIOD)) * PERIOD
    random = np.random.default_rng(0)
    state = loop.start()
    for _ in range(_WARM_UP):
        _, state = loop.step(state, _noise(random, profile))
    state = loop.start(context=state.context)
    times, speaking = np.zeros(chunks), np.zeros(chunks, bool)
    for chunk in range(chunks):
        # It is told whose turn it is; see the module's docstring.
        speaks = chunk % PERIOD >= PERIOD - TALK
        turn = Turn(True, profile.lead + 1) if speaks else Turn()
        state = replace(state, turn=turn)
        audio = _noise(random, profile)
        begin = time.perf_counter()
        step, state = loop.step(state, audio)
        times[chunk] = time.perf_counter() - begin
        speaking[chunk] = step.before.speaking and step.turn.speaking
        progress(chunk + 1, chunks)
    minute = slice(0, 5 * PERIOD), slice(-5 * PERIOD, None)
    first, last = (float(np.median(times[part][speaking[part]])) for part in minute)
    return {
        "machine": {**machine(), "device": _device(device)},
        "size": size,
        "precision": str(precision),
        "parameters": sum(p.numel() for p in covo.parameters()),
        "chunk_ms": profile.chunk_ms,
        "minutes": minutes,
        "tokens_forgotten": state.context.forgotten,
        "all": _figures(times, profile),
        "listening": _figures(times[~speaking], profile),
        "speaking": _figures(times[speaking], profile),
        "first_minute_speaking_median_ms": round(1000 * first, 3),
        "last_minute_speaking_median_ms": round(1000 * last, 3),
        "last_to_first": round(last / first, 4),
    }


def measure_behaviours(
    network: DuplexNetwork, trials: int, progress: Callable[[str], None] = lambda text: None
) -> dict[str, Any]:
    """The four behaviours, ``trials`` each: of the network, of itself deaf, and of chance."""
    loop = DuplexLoop(network)
    shift, stop = _rates(network.grammar)
    listeners: dict[str, Listener] = {
        "network": LoopListener(loop),
        "chance": ChanceListener(shift, stop),
        "network, deaf": LoopListener(loop, deaf=True),
    }
    figures: dict[str, Any] = {
        "machine": machine(),
        "trials": trials,
        "patience_chunks": PATIENCE,
        "chance_rates": {"shift": round(shift, 4), "break": round(stop, 4)},
    }
    for name, listener in listeners.items():
        measured = measure(
            listener,
            network.profile,
            trials,
            lambda behaviour, name=name: progress(f"{name}: {behaviour}"),  # type: ignore[misc]
        )
        figures[name] = {
            behaviour: {
                "rate": round(measured[behaviour].rate, 4),
                "latency_chunks": _latencies(measured[behaviour].latencies),
            }
            for behaviour in BEHAVIOURS
        }
    figures["long conversations"] = _long_conversations(loop, progress)
    return figures


def _long_conversations(loop: DuplexLoop, progress: Callable[[str], None]) -> dict[str, Any]:
    """Whether a network behaves as well late in a conversation as early, whatever it forgot."""
    right, chunks, forgotten = np.zeros(3), 0, 0
    for number in range(_CONVERSATIONS):
        progress(f"network: long conversation {number + 1}")
        listener = LoopListener(loop)
        trials = measure_conversation(listener, loop.profile, 3 * _A_THIRD, 2 * HELD_OUT + number)
        right += np.array([trial.success for trial in trials]).reshape(3, _A_THIRD).sum(axis=1)
        chunks += len(listener.steps)
        forgotten += listener.forgotten
    return {
        "conversations": _CONVERSATIONS,
        "minutes_each": round(chunks * loop.profile.chunk_ms / 60_000 / _CONVERSATIONS, 1),
        "tokens_forgotten_each": forgotten // _CONVERSATIONS,
        "rate_by_thirds": [round(float(n) / (_CONVERSATIONS * _A_THIRD), 4) for n in right],
    }


def _rates(grammar: Grammar, dialogues: int = 100) -> tuple[float, float]:
    """How often SHIFT and BREAK come where they may, in dialogues like those of training."""
    profile = grammar.profile
    tokens = profile.tokens
    ids = {word: number for number, word in enumerate(WORDS)}
    counts = {place: [0, 0] for place in (Place.LISTEN, Place.SPEAK)}
    for number in range(dialogues):
        random = np.random.default_rng(HELD_OUT - 1 - number)
        made = encode(dialogue(grammar, ids, random, 10.0), grammar)
        for place, wanted in ((Place.LISTEN, tokens.shift), (Place.SPEAK, tokens.stop)):
            there = made.ids[made.places == place]
            counts[place][0] += int((there == wanted.id).sum())
            counts[place][1] += len(there)
    (shifts, listening), (stops, speaking) = counts[Place.LISTEN], counts[Place.SPEAK]
    return shifts / listening, stops / speaking


def _profile(config: CovoConfig) -> DuplexProfile:
    """The default one; a small network has fewer positions and forgets earlier, so that it is
    seen to forget."""
    profile = default_profile(config)
    encoder = replace(
        profile.encoder,
        position_period=min(profile.encoder.position_period, config.encoder.positions),
    )
    small = config.backbone.hidden < 1024
    context = ContextProfile(1024, 128) if small else profile.context
    return replace(profile, encoder=encoder, context=context)


def _noise(random: np.random.Generator, profile: DuplexProfile) -> np.ndarray[Any, Any]:
    return random.normal(0, 0.05, profile.chunk_samples).astype(np.float32)


def _figures(times: np.ndarray[Any, Any], profile: DuplexProfile) -> dict[str, Any]:
    if not len(times):
        return {"steps": 0}
    median, p95, p99 = (1000 * float(np.percentile(times, q)) for q in (50, 95, 99))
    return {
        "steps": len(times),
        "median_ms": round(median, 3),
        "p95_ms": round(p95, 3),
        "p99_ms": round(p99, 3),
        "share_late": round(float((1000 * times > profile.chunk_ms).mean()), 5),
    }


def _latencies(latencies: tuple[int, ...]) -> dict[str, float] | None:
    if not latencies:
        return None
    return {"median": float(np.median(latencies)), "min": min(latencies), "max": max(latencies)}


def _device(device: str) -> str:
    if torch.device(device).type != "cuda":
        return f"{device}, {torch.get_num_threads()} threads"
    return torch.cuda.get_device_name(device)
