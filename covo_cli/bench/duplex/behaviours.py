"""Test turn taking of a network trained on tones, on held-out dialogues."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from covo_cli.bench.figures import machine
from model.duplex.network.loop import DuplexLoop
from model.duplex.network.network import DuplexNetwork
from model.duplex.protocol.grammar import Grammar, Place
from model.duplex.protocol.sequence import encode
from model.duplex.tones.behaviours import (
    BEHAVIOURS,
    HELD_OUT,
    PATIENCE,
    ChanceListener,
    Listener,
    LoopListener,
    measure,
    measure_conversation,
)
from model.duplex.tones.tones import WORDS, dialogue

_CONVERSATIONS = 8
_A_THIRD = 12
"""Trials in a third of a long conversation."""


def measure_behaviours(
    network: DuplexNetwork, trials: int, progress: Callable[[str], None] = lambda text: None
) -> dict[str, Any]:
    """Run ``trials`` of each behaviour with the network, the deaf network and chance."""
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
        figures[name] = {}
        for behaviour in BEHAVIOURS:
            progress(f"{name}: {behaviour}")
            done = measure(listener, network.profile, behaviour, trials)
            latencies = [trial.latency for trial in done if trial.latency is not None]
            figures[name][behaviour] = {
                "rate": round(sum(trial.success for trial in done) / trials, 4),
                "latency_chunks": _latencies(latencies),
            }
    figures["long conversations"] = _long_conversations(loop, progress)
    return figures


def _long_conversations(loop: DuplexLoop, progress: Callable[[str], None]) -> dict[str, Any]:
    """Compare behaviour early and late in conversations longer than the network's memory."""
    right, chunks, forgotten = np.zeros(3), 0, 0
    for number in range(_CONVERSATIONS):
        progress(f"network: long conversation {number + 1}")
        listener = LoopListener(loop)
        trials = measure_conversation(listener, loop.profile, 3 * _A_THIRD, 2 * HELD_OUT + number)
        right += np.array([trial.success for trial in trials]).reshape(3, _A_THIRD).sum(axis=1)
        chunks += listener.state.chunk
        forgotten += listener.state.context.forgotten
    return {
        "conversations": _CONVERSATIONS,
        "minutes_each": round(chunks * loop.profile.chunk_ms / 60_000 / _CONVERSATIONS, 1),
        "tokens_forgotten_each": forgotten // _CONVERSATIONS,
        "rate_by_thirds": [round(float(n) / (_CONVERSATIONS * _A_THIRD), 4) for n in right],
    }


def _rates(grammar: Grammar, dialogues: int = 100) -> tuple[float, float]:
    """Return how often SHIFT and BREAK occur where possible, in training-like dialogues."""
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


def _latencies(latencies: list[int]) -> dict[str, float] | None:
    if not latencies:
        return None
    return {"median": float(np.median(latencies)), "min": min(latencies), "max": max(latencies)}
