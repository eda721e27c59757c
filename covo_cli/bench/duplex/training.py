"""Measure steps of training with random weights: tokens a second, and memory.

The samples are dialogues of a minute in which the assistant speaks for 45 % of the time. Memory and
operations are counted without a device: the step runs on tensors that have shapes but no numbers,
with everything that autograd keeps. On a device it runs as well, and is timed.
"""

from __future__ import annotations

import statistics
import weakref
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import torch
from torch import nn
from torch._subclasses.fake_tensor import FakeTensorMode
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves
from torch.utils.flop_counter import FlopCounterMode

from audio_io.clock import USER_RATE
from covo_cli.bench.duplex.steps import bench_profile
from covo_cli.bench.figures import machine
from covo_cli.bench.goals import Figures, Goal, judge
from covo_cli.bench.network.timing import DeviceClock, device_facts, matmul_peak
from model.covo.config.network_config import CovoConfig
from model.covo.config.precision import Precision
from model.covo.config.sizes import network_size
from model.covo.language.network import CovoNetwork
from model.covo.loading.random_weights import random_network
from model.covo.memory.plan import CONTEXT_BYTES
from model.duplex.network.network import DuplexNetwork
from model.duplex.protocol.grammar import Grammar
from model.duplex.protocol.sequence import TimedDialogue, TimedReply, TimedToken, encode
from model.duplex.training.batch import Batch, collate
from model.duplex.training.learner import Learner
from model.duplex.training.loss import LossWeights
from model.duplex.training.sample import dialogue_sample, section
from model.duplex.training.training_config import TrainingSection

HOURS = 500
"""Hours of dialogue that an epoch is reckoned for."""
_TURN_S, _REPLY_S = 5.5, 4.5
_DIALOGUE_S = 60
_CODES_PER_TEXT = 8
_MOMENT_BYTES = {"adamw": 8.0, "adamw8bit": 2 * (1 + 4 / 256)}
"""Bytes of both moments for each trained weight."""
_ENCODER_RANK = 16

Progress = Callable[[str], None]


@dataclass(frozen=True, slots=True)
class TrainBench:
    """What to measure: ``steps`` of ``positions`` tokens with adapters of ``rank``. Without
    ``timed`` the step is only counted."""

    size: str
    device: torch.device
    rank: int
    positions: int
    optimizer: Literal["adamw", "adamw8bit"]
    steps: int
    timed: bool

    @property
    def training(self) -> TrainingSection:
        """The step, as a configuration."""
        return TrainingSection(
            steps=self.steps,
            positions=self.positions,
            recompute=True,
            precision="bfloat16",
            optimizer=self.optimizer,
            lora_rank=self.rank,
            encoder_rank=min(_ENCODER_RANK, self.rank),
        )


def measure_training(bench: TrainBench, progress: Progress = lambda text: None) -> dict[str, Any]:
    """Return JSON-ready figures, and what was made of the goals. Raises: NetworkConfigError,
    TrainingError."""
    config = network_size(bench.size).covo
    grammar = Grammar(bench_profile(config), config)
    batch = bench_batch(grammar, bench.positions)
    seconds = sum(batch.chunks) * grammar.profile.chunk_ms / 1000
    progress("counting a step")
    counted = count_step(config, bench.training, batch)
    figures: dict[str, Any] = {
        "machine": {**machine(), **device_facts(bench.device)},
        "size": bench.size,
        "rank": bench.rank,
        "positions": len(batch.ids),
        "dialogue_seconds": round(seconds, 1),
        "optimizer": bench.optimizer,
        "counted": counted,
        "timed": None,
    }
    if bench.timed:
        figures["timed"] = _time_steps(bench, config, batch, seconds, counted, progress)
    return {**figures, "goals": judge(GOALS, figures, counts=bench.size == "full")}


def bench_batch(grammar: Grammar, positions: int) -> Batch:
    """Return dialogues of up to a minute with ``positions`` tokens in all, less than a chunk
    over."""
    profile, random = grammar.profile, np.random.default_rng(0)
    replies = []
    for begin in np.arange(_TURN_S, _DIALOGUE_S, _TURN_S + _REPLY_S):
        codes = random.integers(grammar.codebook, size=round(_REPLY_S * profile.code_rate))
        start = round(begin * profile.code_rate)
        text = random.integers(profile.text_vocabulary, size=len(codes) // _CODES_PER_TEXT)
        said = tuple(TimedToken(int(token), start) for token in text)
        replies.append(TimedReply(start, tuple(codes.tolist()), said))
    user = random.normal(0, 0.05, _DIALOGUE_S * USER_RATE).astype(np.float32)
    whole = dialogue_sample(encode(TimedDialogue(user, tuple(replies)), grammar), grammar)
    samples, left = [], positions
    while left > 0:
        samples.append(section(whole, grammar, 0, left))
        left -= len(samples[-1].ids)
    return collate(samples)


def count_step(config: CovoConfig, training: TrainingSection, batch: Batch) -> dict[str, Any]:
    """Count the memory (bytes) and the operations of a step whose weights need no memory."""
    with torch.device("meta"), _default_dtype(torch.bfloat16):
        covo = CovoNetwork(config).requires_grad_(False)
    covo.build_constants()
    network = DuplexNetwork(covo, bench_profile(config)).train()
    learner = Learner(network, training, LossWeights())
    # As on a CPU: the meta device has neither autocast nor fused attention.
    with FakeTensorMode(allow_non_fake_inputs=True), _Storages() as storages:
        _move(network)
        weights = storages.now
        learner.gradients(batch)
    # Apart: the counter of operations keeps tensors alive.
    with FakeTensorMode(allow_non_fake_inputs=True), FlopCounterMode(display=False) as operations:
        _move(network)
        learner.gradients(batch)
    trained = sum(parameter.numel() for parameter in learner.trained.values())
    moments = round(trained * _MOMENT_BYTES[training.optimizer])
    peak = storages.peak + moments
    return {
        "trained_parameters": trained,
        "weights_bytes": weights,
        "moments_bytes": moments,
        "activations_and_gradients_bytes": storages.peak - weights,
        "peak_bytes": peak,
        "device_gb": round((peak + CONTEXT_BYTES["cuda"]) / 1e9, 2),
        "operations": operations.get_total_flops(),
    }


def _move(network: nn.Module) -> None:
    """Replace all tensors of ``network`` by such of the current mode, on a CPU."""
    for module in network.modules():
        for name, parameter in module.named_parameters(recurse=False):
            empty = torch.empty(parameter.shape, dtype=parameter.dtype)
            setattr(module, name, nn.Parameter(empty, requires_grad=parameter.requires_grad))
        for name, buffer in module.named_buffers(recurse=False):
            setattr(module, name, torch.empty(buffer.shape, dtype=buffer.dtype))


class _Storages(TorchDispatchMode):
    """Bytes of all tensors made in it that are alive ``now``, and the ``peak`` of these."""

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.now = self.peak = 0
        self._known: set[int] = set()

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        made = func(*args, **(kwargs or {}))
        for leaf in tree_leaves(made):
            if isinstance(leaf, torch.Tensor):
                self._add(leaf.untyped_storage())
        return made

    def _add(self, storage: torch.UntypedStorage) -> None:
        key, size = storage._cdata, storage.nbytes()
        if key not in self._known:
            self._known.add(key)
            self.now += size
            self.peak = max(self.peak, self.now)
            weakref.finalize(storage, self._drop, key, size)

    def _drop(self, key: int, size: int) -> None:
        self._known.discard(key)
        self.now -= size


@contextmanager
def _default_dtype(dtype: torch.dtype) -> Iterator[None]:
    before = torch.get_default_dtype()
    torch.set_default_dtype(dtype)
    try:
        yield
    finally:
        torch.set_default_dtype(before)


def _time_steps(
    bench: TrainBench,
    config: CovoConfig,
    batch: Batch,
    seconds: float,
    counted: dict[str, Any],
    progress: Progress,
) -> dict[str, Any]:
    progress("building the network")
    clock = DeviceClock(bench.device)
    peak = matmul_peak(clock, Precision.BF16, 3)
    covo = random_network(config, device=bench.device, precision=Precision.BF16, merge=False)
    learner = Learner(
        DuplexNetwork(covo, bench_profile(config)).train(), bench.training, LossWeights()
    )
    clock.start_counting()

    def step() -> None:
        learner.gradients(batch)
        learner.update(1.0)

    progress("training")
    times = clock.repeated(step, bench.steps)
    each = statistics.median(times)
    memory = clock.memory()
    found = memory["peak_allocated"]
    return {
        "step_seconds": round(each, 4),
        "positions_per_second": round(len(batch.ids) / each, 1),
        "dialogue_seconds_per_second": round(seconds / each, 1),
        f"hours_for_{HOURS}_h": round(HOURS * each / seconds, 2),
        "tflop_per_second": round(counted["operations"] / each / 1e12, 3),
        "matmul_tflop_per_second": round(peak / 1e12, 3),
        "multiple_of_matmul_peak": round(each * peak / counted["operations"], 2),
        "peak_allocated_gb": None if found is None else round(found / 1e9, 2),
        "peak_share_of_counted": None if found is None else round(found / counted["peak_bytes"], 3),
    }


def _device_gb(rank: int, positions: int) -> Callable[[Figures], float | None]:
    def value(figures: Figures) -> float | None:
        mine = figures["rank"] == rank and abs(figures["positions"] - positions) < 10
        return figures["counted"]["device_gb"] if mine else None

    return value


def _multiple(figures: Figures) -> float | None:
    timed = figures["timed"]
    on_gpu = timed is not None and figures["machine"]["device"].startswith("cuda")
    return timed["multiple_of_matmul_peak"] if on_gpu else None


GOALS = (
    Goal("memory at rank 32 and 2,048 positions, GB", 24.0, _device_gb(32, 2048)),
    Goal("memory at rank 64 and 8,192 positions, GB", 48.0, _device_gb(64, 8192)),
    Goal("step, as a multiple of its operations at the matmul peak", 4.0, _multiple),
)
