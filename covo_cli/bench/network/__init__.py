"""Measure the Covo network on this machine with random weights.

It answers a turn of noise in the published alternation of 5 text and 15 speech tokens. Each figure
comes with a limit from the same run: the time to read the weights for a decode step, the speed of a
matrix product for speech, the plan for memory.
"""

from __future__ import annotations

import statistics
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import psutil
import torch

from covo_cli.bench.figures import machine
from covo_cli.bench.network.goals import goals
from covo_cli.bench.network.reply import measure_all_first, measure_reply
from covo_cli.bench.network.sessions import measure_sessions, sessions_bytes
from covo_cli.bench.network.stages import measure_chunks, measure_decoding, measure_hearing
from covo_cli.bench.network.streams import measure_streams, streams_bytes
from covo_cli.bench.network.subject import Subject, build_subject, tokens_needed
from covo_cli.bench.network.timing import DeviceClock, device_facts, matmul_peak, read_bandwidth
from model.covo.config.device import capability, named_device
from model.covo.config.gpu import is_modern
from model.covo.config.precision import Precision, token2wav_precision
from model.covo.config.sizes import NetworkSize, network_size
from model.covo.language.stepping import decode_stream
from model.covo.memory.fit import MemoryFit, free_memory
from model.covo.memory.plan import MemorySetting, context_tokens
from model.errors import NetworkConfigError

Progress = Callable[[str], None]

_REPLIES = 3


@dataclass(frozen=True, slots=True)
class NetworkBench:
    """What to measure. ``runs``: repetitions per stage; ``steps``: decode steps;
    ``streams``: replies to generate at once, 1 for none beside the one; ``sessions``: the most
    conversations that share their steps, 1 for none.

    Raises: NetworkConfigError if the reply or the steps exceed the setting's minutes.
    """

    size: NetworkSize
    setting: MemorySetting
    device: torch.device
    turn_seconds: float = 5.0
    reply_seconds: float = 10.0
    runs: int = 5
    steps: int = 200
    streams: int = 1
    sessions: int = 1

    def __post_init__(self) -> None:
        room = context_tokens(self.setting.minutes)
        needed = max(tokens_needed(self.codes, self.turn_seconds), 2 * self.steps)
        if needed > room:
            raise NetworkConfigError(
                f"{self.setting.minutes:g} minutes of talk are {room} tokens, but this needs "
                f"{needed}: use more --minutes, a shorter --reply or fewer --steps"
            )

    @property
    def codes(self) -> int:
        """The reply's length in speech codes."""
        return round(self.reply_seconds * self.size.token2wav.codes_per_second)


def network_bench(
    size: str,
    *,
    device: str,
    precision: str,
    token2wav: str,
    minutes: float,
    reply_seconds: float,
    runs: int,
    steps: int,
    streams: int = 1,
    sessions: int = 1,
) -> NetworkBench:
    """Build a bench from the command's options; ``auto`` works as in the engine.

    Raises: NetworkConfigError.
    """
    where = named_device(device)
    free_memory(str(where))  # raises for a missing device
    speech = token2wav_precision(token2wav, where.type)
    setting = MemorySetting(Precision.named(precision), speech, minutes)
    return NetworkBench(
        network_size(size),
        setting,
        where,
        reply_seconds=reply_seconds,
        runs=runs,
        steps=steps,
        streams=streams,
        sessions=sessions,
    )


def measure_network(bench: NetworkBench, progress: Progress) -> dict[str, Any]:
    """Measure; return JSON-ready figures. Raises: NetworkMemoryError, NetworkConfigError."""
    size, where = bench.size, str(bench.device)
    modern = is_modern(capability(bench.device))
    fit = MemoryFit(size.covo, size.token2wav, bench.device.type, size.voice_codes, modern)
    precision = bench.setting.precision
    beside = max(
        streams_bytes(size, precision, bench.streams, bench.steps),
        sessions_bytes(size, precision, bench.sessions, bench.steps),
    )
    plan = fit.require(bench.setting, free_memory(where) - beside, where)
    clock = DeviceClock(bench.device)
    progress("what the device can do at best")
    bandwidth = read_bandwidth(clock, bench.runs)
    speech_peak = matmul_peak(clock, bench.setting.token2wav.flow, bench.runs)
    codes = bench.codes
    with decode_stream(bench.device):  # as on a conversation's decode thread
        subject = build_subject(size, plan, clock, bench.turn_seconds, progress)
        progress("encoder and prefill")
        hearing = measure_hearing(subject, bench.runs)
        progress("decode steps")
        decoding = measure_decoding(subject, bench.steps, bandwidth)
        progress("flow matching and vocoder")
        chunks = measure_chunks(subject, codes, bench.runs, speech_peak)  # warms up for replies
        progress(f"replies of {bench.reply_seconds:g} s")
        reply = _median(lambda: measure_reply(subject, codes))
        memory = _memory(subject)  # before the reference's order, which takes more
        progress("the same reply in the reference's order")
        all_first = _median(lambda: measure_all_first(subject, codes))
        streams = None
        if bench.streams > 1:
            progress(f"{bench.streams} replies at once")
            streams = measure_streams(subject, bench.streams, bench.steps)
        sessions = None
        if bench.sessions > 1:
            progress(f"up to {bench.sessions} conversations at once")
            sessions = measure_sessions(subject.network, precision, bench.sessions, bench.steps)
    figures = {
        "machine": {**machine(), **device_facts(bench.device)},
        "size": bench.size.name,
        "precision": str(precision),
        "token2wav_precision": str(bench.setting.token2wav),
        "minutes": bench.setting.minutes,
        "weights": "random",
        "limits": {
            "read_gb_per_second": round(bandwidth / 1e9, 2),
            "matmul_tflop_per_second": round(speech_peak / 1e12, 4),
        },
        "hearing": hearing,
        "decode": decoding,
        "chunks": chunks,
        "reply": reply,
        "side_by_side": {
            "streamed_seconds": reply["first_sample_seconds"],
            "all_first_seconds": all_first["first_sample_seconds"],
            "all_first": all_first,
        },
        "memory": memory,
        "streams": streams,
        "sessions": sessions,
    }
    return {**figures, "goals": goals(figures)}


def _median(measure: Callable[[], dict[str, Any]]) -> dict[str, Any]:
    """Measure a few replies after a warm-up; return the one with the median time to first sample,
    and all times."""
    measure()
    replies = [measure() for _ in range(_REPLIES)]
    times = [reply["first_sample_seconds"] for reply in replies]
    middle = times.index(statistics.median(times))
    return {**replies[middle], "first_sample_seconds_of_all": times}


def _memory(subject: Subject) -> dict[str, Any]:
    plan, counted = subject.plan, subject.clock.memory()
    planned = {
        name: getattr(plan, name)
        for name in (
            *("blocks", "embedding", "head", "encoder", "adapter", "token2wav", "weights"),
            *("cache", "allocated", "context", "margin", "total"),
        )
    }
    workspace, peak = plan.workspace, counted["peak_allocated"]
    stages = {name: getattr(workspace, name) for name in workspace.__slots__}
    return {
        "plan": {**planned, "workspace": workspace.peak, "workspace_of": stages},
        "weights": subject.held(),
        **counted,
        "peak_share_of_plan": round(peak / plan.allocated, 4) if peak is not None else None,
        "process_resident": int(psutil.Process().memory_info().rss),
    }
