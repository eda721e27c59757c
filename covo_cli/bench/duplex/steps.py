"""Measure the cost of a full-duplex step and whether it grows over a conversation.

The network is random, so it is forced to speak in ``TALK`` of every ``PERIOD`` chunks. Chunks
arrive as fast as they are taken. A step is timed until its codes are on the host, without speech;
:mod:`covo_cli.bench.duplex.voice` measures both.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import psutil
import torch

from covo_cli.bench.figures import machine, summary
from model.covo.config.network_config import CovoConfig
from model.covo.config.precision import Precision
from model.covo.config.sizes import network_size
from model.covo.loading.random_weights import random_network
from model.duplex.network.loop import DuplexLoop
from model.duplex.network.network import DuplexNetwork
from model.duplex.protocol.grammar import AssistantState
from model.duplex.protocol.profile import ContextProfile, DuplexProfile, default_profile

PERIOD = 75
TALK = 45
"""In chunks: a turn of 4.8 s and a reply of 7.2 s, five times a minute."""
PERIODS_PER_MINUTE = 5

Progress = Callable[[int, int], None]
"""Receives the chunks done and their total."""


def measure_steps(
    size: str,
    device: torch.device,
    precision: Precision,
    minutes: float,
    progress: Progress = lambda done, total: None,
) -> dict[str, Any]:
    """Simulate ``minutes`` of conversation with a random network of ``size``; return JSON-ready
    figures (ms, MB). Raises: NetworkConfigError."""
    config = network_size(size).covo
    profile = bench_profile(config)
    covo = random_network(config, device=device, precision=precision)
    loop = DuplexLoop(DuplexNetwork(covo, profile))
    chunks = max(1, round(minutes * 60_000 / profile.chunk_ms / PERIOD)) * PERIOD
    random = np.random.default_rng(0)
    state = loop.warm_up()
    times, speaking, memory = np.zeros(chunks), np.zeros(chunks, bool), np.zeros(chunks)
    for chunk in range(chunks):
        speaks = chunk % PERIOD >= PERIOD - TALK
        forced = AssistantState(True, profile.lead + 1) if speaks else AssistantState()
        state = replace(state, assistant=forced)
        audio = random.normal(0, 0.05, profile.chunk_samples).astype(np.float32)
        begin = time.perf_counter()
        step, state = loop.step(state, audio)
        times[chunk] = time.perf_counter() - begin
        speaking[chunk] = step.before.speaking and step.after.speaking
        memory[chunk] = _megabytes(device)
        progress(chunk + 1, chunks)
    minute = slice(0, PERIODS_PER_MINUTE * PERIOD), slice(-PERIODS_PER_MINUTE * PERIOD, None)
    first, last = (float(np.median(times[part][speaking[part]])) for part in minute)
    return {
        "machine": {**machine(), "device": _device(device)},
        "size": size,
        "precision": str(precision),
        "parameters": sum(p.numel() for p in covo.parameters()),
        "chunk_ms": profile.chunk_ms,
        "minutes": minutes,
        "tokens_forgotten": state.context.forgotten,
        "all": step_figures(times, profile.chunk_ms),
        "listening": step_figures(times[~speaking], profile.chunk_ms),
        "speaking": step_figures(times[speaking], profile.chunk_ms),
        "first_minute_speaking_median_ms": round(1000 * first, 3),
        "last_minute_speaking_median_ms": round(1000 * last, 3),
        "last_to_first": round(last / first, 4),
        "first_minute_memory_mb": round(float(memory[minute[0]].max())),
        "last_minute_memory_mb": round(float(memory[minute[1]].max())),
    }


def bench_profile(config: CovoConfig) -> DuplexProfile:
    """Return the default profile adapted to the network's positions. A small network gets a small
    memory, so that it has to forget."""
    profile = default_profile(config)
    encoder = replace(
        profile.encoder,
        position_period=min(profile.encoder.position_period, config.encoder.positions),
    )
    small = config.backbone.hidden < 1024
    context = ContextProfile(1024, 128) if small else profile.context
    return replace(profile, encoder=encoder, context=context)


def step_figures(times: np.ndarray[Any, Any], chunk_ms: int) -> dict[str, Any]:
    """Return the count, the percentiles in ms, and the share that took longer than a chunk, of
    ``times`` in seconds."""
    if not len(times):
        return {"steps": 0}
    late = float((1000 * times > chunk_ms).mean())
    figures = summary((1000 * times).tolist(), median_ms=50, p95_ms=95, p99_ms=99, max_ms=100)
    return {"steps": len(times), **figures, "share_late": round(late, 5)}


def _megabytes(device: torch.device) -> float:
    """Return the memory in use on the GPU, or without one by the process."""
    if device.type == "cuda":
        return torch.cuda.memory_allocated(device) / 2**20
    return float(psutil.Process().memory_info().rss / 2**20)


def _device(device: torch.device) -> str:
    if device.type == "cuda":
        return torch.cuda.get_device_name(device)
    return f"{device}, {torch.get_num_threads()} threads"
