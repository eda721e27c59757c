"""Time each stage: encoder, prefill, decode step, flow matching and vocoder per chunk."""

from __future__ import annotations

import statistics
import time
from collections.abc import Iterator
from typing import Any

import torch

from covo_cli.bench.network.subject import Subject
from covo_cli.bench.network.timing import milliseconds
from model.covo.language.features import ENCODER_RATE
from model.covo.memory.plan import ASSISTANT_TOKENS_PER_SECOND
from model.covo.memory.speech_cost import ChunkCost, chunk_costs
from model.covo.speech.chunk_schedule import Chunk
from model.covo.speech.flow import Conditioning


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
    """Time flow matching and vocoder for each chunk of a reply of ``codes`` codes. ``peak``: matrix
    product operations per second in token2wav's precision."""
    size, schedule = subject.size, subject.speech.schedule
    costs = chunk_costs(size.token2wav, size.voice_codes, codes, schedule)
    return [_chunk(subject, cost, runs, peak) for cost in _distinct(costs)]


def _distinct(costs: Iterator[ChunkCost]) -> Iterator[ChunkCost]:
    seen = set()
    for cost in costs:
        shape = (cost.flow, cost.vocoder)
        if shape not in seen:
            seen.add(shape)
            yield cost


def _chunk(subject: Subject, cost: ChunkCost, runs: int, peak: float) -> dict[str, Any]:
    config, token2wav, chunk = subject.size.token2wav, subject.token2wav, cost.chunk
    flow, sampling = token2wav.token2latent, config.sampling
    own = config.flow.upsample * (chunk.end - chunk.begin)
    given = _conditioning(subject, chunk)
    noise = torch.randn(given.latents.shape, device=subject.device)
    latents = torch.randn(1, config.flow.latent, own, device=subject.device)
    vocoder = token2wav.wavegan
    _, state = vocoder.step(vocoder.start(), latents)

    with torch.inference_mode():
        modulations = flow.modulations(subject.voice.speaker, sampling)

    def solve() -> None:
        with torch.inference_mode():
            flow.solve(noise, given, modulations, sampling)

    flow_time = statistics.median(subject.clock.repeated(solve, runs, warm_ups=1))
    vocoder_time = statistics.median(
        subject.clock.repeated(lambda: vocoder.step(state, latents), runs, warm_ups=1)
    )
    return {
        "codes": chunk.end - chunk.begin,
        "seen_codes": subject.size.voice_codes + chunk.ahead - chunk.past,
        "audio_ms": round(1000 * cost.seconds, 1),
        "flow_ms": round(1000 * flow_time, 3),
        "flow_flop": cost.flow,
        "flow_flop_per_second": round(cost.flow / flow_time),
        "flow_share_of_peak": round(cost.flow / flow_time / peak, 4),
        "vocoder_ms": round(1000 * vocoder_time, 3),
        "vocoder_flop": cost.vocoder,
        "vocoder_flop_per_second": round(cost.vocoder / vocoder_time),
        "vocoder_share_of_peak": round(cost.vocoder / vocoder_time / peak, 4),
    }


def _conditioning(subject: Subject, chunk: Chunk) -> Conditioning:
    """Return the flow's input for ``chunk``: the voice, the window's latents and the codes."""
    config, voice = subject.size.token2wav.flow, subject.voice
    seen = torch.arange(chunk.ahead - chunk.past) % config.codebook
    known = torch.randn(config.upsample * (chunk.begin - chunk.past), config.latent)
    flow = subject.token2wav.token2latent
    with torch.inference_mode():
        return flow.condition(torch.cat((voice.codes, seen)), torch.cat((voice.latents, known)))
