"""Measure full duplex with its voice: steps and speech side by side, paced in real time.

A chunk of noise comes every 160 ms. As in the engine, the steps run on one thread, and the speech
of their codes on another. The network is random, so it is forced to speak for the first ``TALK`` of
every ``PERIOD`` chunks. A step always computes everything, so a machine that is too slow falls
behind instead of leaving something out.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from queue import SimpleQueue
from typing import Any

import numpy as np
import torch

from audio_io.worker import Worker
from covo_cli.bench.duplex.steps import (
    PERIOD,
    PERIODS_PER_MINUTE,
    TALK,
    Progress,
    bench_profile,
    step_figures,
)
from covo_cli.bench.figures import machine
from covo_cli.bench.goals import Goal, judge
from covo_cli.bench.network.goals import off_plan
from covo_cli.bench.network.timing import DeviceClock, device_facts
from model.covo.config.device import AUTO, capability
from model.covo.config.gpu import is_modern
from model.covo.config.precision import Precision, SpeechPrecision, token2wav_precision
from model.covo.config.sizes import NetworkSize, network_size
from model.covo.loading.random_weights import random_network, random_token2wav, random_voice
from model.covo.memory.fit import MemoryFit, free_memory
from model.covo.memory.plan import MemoryPlan, MemorySetting
from model.covo.speech.token2wav import VoicePrompt
from model.duplex.network.loop import DuplexLoop, LoopState
from model.duplex.network.network import DuplexNetwork
from model.duplex.network.speech import ReplySound, SpeechDecoder, Token2WavSpeech
from model.duplex.protocol.grammar import AssistantState
from model.duplex.protocol.profile import DuplexProfile


@dataclass(frozen=True, slots=True)
class DuplexBench:
    """What to measure. ``minutes``: of conversation, which take as long; ``prompt_seconds``: of
    the voice prompt, 0 for all."""

    size: NetworkSize
    device: torch.device
    precision: Precision
    minutes: float
    prompt_seconds: float


@dataclass(frozen=True, slots=True)
class _Times:
    """Seconds for each chunk, NaN where there were none. ``step``: its duration; ``late``: its end
    after the next chunk's arrival, negative if in time; ``speech``: to turn its codes into sound;
    ``code_to_sound``: from the codes to the sound, waiting included."""

    step: np.ndarray[Any, Any]
    late: np.ndarray[Any, Any]
    speech: np.ndarray[Any, Any]
    code_to_sound: np.ndarray[Any, Any]

    @classmethod
    def of(cls, chunks: int) -> _Times:
        """Return room for ``chunks``."""
        return cls(*(np.full(chunks, np.nan) for _ in range(4)))


def duplex_bench(
    size: str, device: torch.device, precision: str, minutes: float, prompt_seconds: float
) -> DuplexBench:
    """Build a bench from the command's options. Raises: NetworkConfigError."""
    named = Precision.named(precision)
    return DuplexBench(network_size(size), device, named, minutes, prompt_seconds)


def measure_voice(
    bench: DuplexBench, progress: Progress = lambda done, total: None
) -> dict[str, Any]:
    """Hold a conversation with a random network; return JSON-ready figures (ms, bytes).

    Raises: NetworkConfigError; NetworkMemoryError when it does not fit; NetworkInputError for a
    prompt shorter than a code.
    """
    size, device = bench.size, bench.device
    profile, voice = bench_profile(size.covo), _voice(bench)
    speech_precision = token2wav_precision(AUTO, device.type)
    plan = _plan(bench, profile, speech_precision, voice)
    clock = DeviceClock(device)
    clock.start_counting()
    covo = random_network(size.covo, device=device, precision=bench.precision)
    token2wav = random_token2wav(size.token2wav, device=device, precision=speech_precision)
    clock.wait()  # the weights were made on this thread's stream
    loop = DuplexLoop(DuplexNetwork(covo, profile))
    speech = Token2WavSpeech.chunkwise(token2wav, voice, profile)
    speech.warm_up()
    state = loop.warm_up()
    chunks = max(1, round(60_000 * bench.minutes / profile.chunk_ms))
    times = _converse(loop, state, speech, chunks, progress)
    figures = {
        "machine": {**machine(), **device_facts(device)},
        "size": size.name,
        "precision": str(bench.precision),
        "token2wav_precision": str(speech_precision),
        "prompt_seconds": bench.prompt_seconds,
        "minutes": bench.minutes,
        "chunk_ms": profile.chunk_ms,
        "weights": "random",
        **_figures(times, profile.chunk_ms),
        "memory": _memory(plan, clock.memory()),
    }
    real = size.name == "full" and device.type == "cuda"
    return {**figures, "goals": judge(_GOALS, figures, counts=real)}


def _voice(bench: DuplexBench) -> VoicePrompt:
    voice = random_voice(bench.size.token2wav.flow, bench.size.voice_codes)
    return voice.crop(bench.prompt_seconds, bench.size.token2wav) if bench.prompt_seconds else voice


def _plan(
    bench: DuplexBench, profile: DuplexProfile, token2wav: SpeechPrecision, voice: VoicePrompt
) -> MemoryPlan:
    """Return the plan, which fits the device. Raises: NetworkConfigError, NetworkMemoryError."""
    where = str(bench.device)
    free = free_memory(where)
    fit = MemoryFit(
        bench.size.covo,
        bench.size.token2wav,
        bench.device.type,
        len(voice.codes),
        is_modern(capability(bench.device)),
    )
    setting = MemorySetting(bench.precision, token2wav, duplex_tokens=profile.cache_tokens)
    return fit.require(setting, free, where)


def _memory(plan: MemoryPlan, counted: dict[str, int | None]) -> dict[str, Any]:
    """Return the bytes ``counted`` beside the plan."""
    planned, peak = plan.allocated, counted["peak_allocated"]
    share = None if peak is None else round(peak / planned, 4)
    return {"planned": planned, **counted, "peak_share_of_plan": share}


def _converse(
    loop: DuplexLoop,
    state: LoopState,
    speech: SpeechDecoder,
    chunks: int,
    progress: Progress,
) -> _Times:
    """Step through ``chunks`` as they arrive, while another thread speaks."""
    profile, times = loop.profile, _Times.of(chunks)
    chunk_s, noise = profile.chunk_ms / 1000, np.random.default_rng(0)
    coming: SimpleQueue[tuple[int, float, list[int]] | None] = SimpleQueue()

    def speak() -> None:
        sound = ReplySound(speech, profile.code_rate)
        while (given := coming.get()) is not None:
            chunk, known, codes = given
            began = time.perf_counter()
            sound.add(codes, last=not codes)
            now = time.perf_counter()
            if codes:
                times.speech[chunk], times.code_to_sound[chunk] = now - began, now - known

    speaking = Worker(speak, "bench-speak")
    speaking.start()
    start = time.perf_counter()
    for chunk in range(chunks):
        audio = noise.normal(0, 0.05, profile.chunk_samples).astype(np.float32)
        speaks = chunk % PERIOD < TALK
        forced = AssistantState(True, profile.lead + 1) if speaks else AssistantState()
        arrival = start + chunk * chunk_s
        time.sleep(max(0.0, arrival - time.perf_counter()))
        began = time.perf_counter()
        step, state = loop.step(replace(state, assistant=forced), audio)
        ended = time.perf_counter()
        times.step[chunk], times.late[chunk] = ended - began, ended - arrival - chunk_s
        if speaks:
            # A random network may choose fillers or BREAK; every chunk is spoken all the same.
            codes = [max(code, 0) for code in step.codes] or [0] * profile.codes_per_chunk
            coming.put((chunk, ended, codes))
        elif chunk % PERIOD == TALK:
            coming.put((chunk, ended, []))
        progress(chunk + 1, chunks)
        if speaking.failure is not None:
            raise speaking.failure
    coming.put(None)
    speaking.join()
    if speaking.failure is not None:
        raise speaking.failure
    return times


def _figures(times: _Times, chunk_ms: int) -> dict[str, Any]:
    spoken = ~np.isnan(times.speech)
    return {
        "step": {
            **step_figures(times.step, chunk_ms),
            "share_behind": round(float((times.late > 0).mean()), 5),
        },
        "step_speaking": {
            **step_figures(times.step[spoken], chunk_ms),
            **_trend(times.step[spoken]),
        },
        "speech": {**step_figures(times.speech[spoken], chunk_ms), **_trend(times.speech[spoken])},
        "code_to_sound": {
            **step_figures(times.code_to_sound[spoken], chunk_ms),
            **_trend(times.code_to_sound[spoken]),
        },
    }


def _trend(times: np.ndarray[Any, Any]) -> dict[str, float]:
    """Return the medians of the first and the last minute, or halves of a shorter conversation."""
    part = max(1, min(PERIODS_PER_MINUTE * TALK, len(times) // 2))
    first, last = float(np.median(times[:part])), float(np.median(times[-part:]))
    return {
        "first_minute_median_ms": round(1000 * first, 3),
        "last_minute_median_ms": round(1000 * last, 3),
        "last_to_first": round(last / first, 4),
    }


def _of(part: str, figure: str) -> Callable[[Any], float]:
    return lambda figures: float(figures[part][figure])


_GOALS = (
    Goal("step while speaking, median ms", 45.0, _of("step_speaking", "median_ms")),
    Goal("step, p99 ms", 80.0, _of("step", "p99_ms")),
    Goal("steps that end after the next chunk came, as a share", 0.0, _of("step", "share_behind")),
    Goal("speech of a chunk, p95 ms", 160.0, _of("speech", "p95_ms")),
    Goal("codes to sound, p95 ms", 160.0, _of("code_to_sound", "p95_ms")),
    Goal(
        "step: last minute, as a multiple of the first", 1.05, _of("step_speaking", "last_to_first")
    ),
    Goal(
        "codes to sound: last minute, as a multiple of the first",
        1.05,
        _of("code_to_sound", "last_to_first"),
    ),
    Goal("peak memory off its plan, as a share", 0.10, off_plan),
)
