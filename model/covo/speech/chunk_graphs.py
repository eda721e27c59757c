"""Run a chunk's work as CUDA graphs, because launching its kernels one by one takes longer than
they run."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Hashable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from model.covo.config.device import capturing

KEPT_GRAPHS = 64
"""Graphs to keep. A duplex reply has 20 chunk shapes until its window is full, any other 6; the
vocoder has a few more, and a change of voice makes new ones."""

Work = Callable[..., tuple[Tensor, ...]]
"""A function of tensors that depends on nothing else, neither writes to them nor waits for the
device, and returns new ones."""


class ChunkGraphs:
    """Runs ``work`` on the current stream of ``device``: as it is the first time, captured as a
    graph the second time, replayed from then on.

    So the first run makes libraries choose their kernels, and a shape that comes once is never
    captured. Inputs are copied into buffers and results out of them. Graphs share a memory pool,
    and buffers where inputs have the same shape, so use one thread and one stream, which must not
    be the default one. The least recently used graph makes room for a new one.
    """

    def __init__(self, device: torch.device, kept: int = KEPT_GRAPHS) -> None:
        self._device, self._kept = device, kept
        self._pool = torch.cuda.graph_pool_handle()
        self._buffers: dict[Hashable, Tensor] = {}
        self._graphs: OrderedDict[Hashable, _Captured | None] = OrderedDict()
        # torch refuses to capture into a pool whose graphs are all gone, so one is kept for good.
        self._anchor: torch.cuda.CUDAGraph | None = None

    def __call__(self, name: Hashable, work: Work, *inputs: Tensor) -> tuple[Tensor, ...]:
        """Return ``work(*inputs)``. ``name``: whatever tells ``work`` from others on inputs of the
        same shapes."""
        key = (name, *((tensor.shape, tensor.dtype) for tensor in inputs))
        if key not in self._graphs:
            self._graphs[key] = None
            if len(self._graphs) > self._kept:
                self._graphs.popitem(last=False)
            return work(*inputs)
        self._graphs.move_to_end(key)
        buffers = [self._filled_buffer(place, tensor) for place, tensor in enumerate(inputs)]
        captured = self._graphs[key]
        if captured is None:
            captured = self._graphs[key] = self._capture(work, buffers)
        captured.graph.replay()
        return tuple(result.clone() for result in captured.results)

    def _capture(self, work: Work, buffers: Sequence[Tensor]) -> _Captured:
        graph = torch.cuda.CUDAGraph()
        with capturing(graph, self._pool, torch.cuda.current_stream(self._device)):
            results = work(*buffers)
        self._anchor = self._anchor or graph
        return _Captured(graph, results)

    def _filled_buffer(self, place: int, values: Tensor) -> Tensor:
        key = (place, values.shape, values.dtype)
        if key not in self._buffers:
            self._buffers[key] = torch.empty_like(values, memory_format=torch.contiguous_format)
        return self._buffers[key].copy_(values)


def run_directly(name: Hashable, work: Work, *inputs: Tensor) -> tuple[Tensor, ...]:
    """Return ``work(*inputs)``: what takes the place of :class:`ChunkGraphs` on other devices."""
    return work(*inputs)


@dataclass(frozen=True, slots=True)
class _Captured:
    """A graph that reads the buffers and writes ``results``."""

    graph: torch.cuda.CUDAGraph
    results: tuple[Tensor, ...]
