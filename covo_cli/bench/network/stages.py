"""Time each stage: encoder, prefill, decode step, flow matching and vocoder per chunk."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable
from functools import partial
from typing import Any

import torch

from covo_cli.bench.network.subject import Subject
from covo_cli.bench.network.timing import milliseconds
from model.covo.language.features import ENCODER_RATE
from model.covo.memory.plan import ASSISTANT_TOKENS_PER_SECOND
from model.covo.memory.speech_cost import ChunkCost, chunk_costs
from model.covo.speech.speech_stream import FLOW, VOCODER


def measure_hearing(subject: Subject, runs: int) -> dict[str, Any]:
    """Measure features, encoder with adapter, and the turn's prefill after the system prompt."""
    turn = subject.features()
    prompt = subject.turn_prompt(turn.placeholders)
    heard = subject.network.hear(turn)
    rows = subject.network.embed(prompt, heard)
    subject.prepare()
    before = subject.decoder.length

    def prefill() -> None:
        subject.decoder.rewind(before)
        subject.decoder.append(rows)

    clock = subject.clock
    return {
        "turn_seconds": len(subject.turn_audio) / ENCODER_RATE,
        "features": milliseconds(clock.repeated(subject.features, runs, warm_ups=1)),
        "encoder": milliseconds(clock.repeated(lambda: subject.network.hear(turn), runs)),
        "prefill": {"tokens": len(rows), **milliseconds(clock.repeated(prefill, runs))},
    }


def measure_decoding(subject: Subject, steps: int, bandwidth: float) -> list[dict[str, Any]]:
    """Time a token, sampling included, with a short history and with a nearly full cache, also as a
    multiple of one read of weights and cache at ``bandwidth`` (bytes/s)."""
    capacity = subject.decoder.capacity
    return [
        _decoding(subject, context, steps, bandwidth)
        for context in sorted({min(512, capacity - steps), capacity - steps})
    ]


def _decoding(subject: Subject, context: int, steps: int, bandwidth: float) -> dict[str, Any]:
    decoder, clock = subject.decoder, subject.clock
    decoder.rewind(0)
    ids = torch.arange(context) % subject.size.covo.placeholder
    decoder.append(subject.network.embed(ids))
    clock.wait()
    times = []
    began = time.perf_counter()
    for _ in decoder.generate(ids[-64:], stop=(), limit=steps):
        now = time.perf_counter()
        times.append(now - began)
        began = now
    times = times[min(2, len(times) - 1) :]  # skip those that start the pipeline
    read = subject.step_weights() + subject.size.covo.backbone.kv_bytes(
        context + steps // 2, subject.plan.setting.precision.item_bytes
    )
    floor = read / bandwidth
    median = statistics.median(times)
    return {
        "context_tokens": context,
        "steps": len(times),
        **milliseconds(times),
        "bytes_read": read,
        "floor_ms": round(1000 * floor, 4),
        "multiple_of_floor": round(median / floor, 3),
        "tokens_per_second": round(1 / median, 1),
        "tokens_per_second_needed": round(ASSISTANT_TOKENS_PER_SECOND, 1),
    }


def measure_chunks(subject: Subject, codes: int, runs: int, peak: float) -> list[dict[str, Any]]:
    """Time each kind of chunk of a reply of ``codes`` codes on the speech worker, which has not
    been warmed up. ``peak``: matrix product operations per second in the flow's precision."""
    size, schedule, worker = subject.size, subject.speech.schedule, subject.worker
    stream, measured = worker.start(subject.voice, subject.speech), {}
    for cost in chunk_costs(size.token2wav, size.voice_codes, codes, schedule):
        chunk = cost.chunk
        given = [
            code % size.token2wav.flow.codebook for code in range(stream.received, chunk.ahead)
        ]
        step = partial(worker.step, stream, given, last=chunk.end == codes)
        kind = cost.flow, cost.vocoder
        if kind not in measured:
            measured[kind] = _chunk(subject, cost, step, runs, peak)
        _, stream = step()
    return list(measured.values())


def _chunk(
    subject: Subject, cost: ChunkCost, step: Callable[..., object], runs: int, peak: float
) -> dict[str, Any]:
    """Time ``step``, which makes the chunk of ``cost``: the first call, and later ones by part."""
    first = _timed_parts(subject, step)
    _timed_parts(subject, step)  # on a GPU this one captures graphs
    later = [_timed_parts(subject, step) for _ in range(runs)]
    flow_time, vocoder_time = (
        statistics.median(parts[name] for parts in later) for name in (FLOW, VOCODER)
    )
    chunk = cost.chunk
    return {
        "codes": chunk.end - chunk.begin,
        "seen_codes": subject.size.voice_codes + chunk.ahead - chunk.past,
        "audio_ms": round(1000 * cost.seconds, 1),
        "first_ms": round(1000 * sum(first.values()), 3),
        "flow_ms": round(1000 * flow_time, 3),
        "flow_flop": cost.flow,
        "flow_flop_per_second": round(cost.flow / flow_time),
        "flow_share_of_peak": round(cost.flow / flow_time / peak, 4),
        "vocoder_ms": round(1000 * vocoder_time, 3),
        "vocoder_flop": cost.vocoder,
        "vocoder_flop_per_second": round(cost.vocoder / vocoder_time),
        "vocoder_share_of_peak": round(cost.vocoder / vocoder_time / peak, 4),
    }


def _timed_parts(subject: Subject, step: Callable[..., object]) -> dict[str, float]:
    """Return the seconds that each part of one call of ``step`` takes."""
    parts: dict[str, float] = {}
    subject.clock.wait()
    before = time.perf_counter()

    def watch(part: str) -> None:
        nonlocal before
        subject.clock.wait()
        now = time.perf_counter()
        parts[part], before = now - before, now

    step(watch=watch)
    return parts
