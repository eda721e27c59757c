"""Fast decode steps on CUDA: a stream of high priority, graphs of a few sizes, and token reads that
overlap with work.

A step attends to the next power of two above the history's length, so each step can be a CUDA graph
that was captured once, and a short history never pays for the whole capacity.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import cache

import torch
from torch import Tensor

from model.covo.config.device import capturing

SHORTEST_ATTENDED = 512
WARM_UPS = 2
"""Warm-up runs before a capture, so that libraries choose kernels and allocate workspaces, and
Triton compiles its own."""
_HIGH_PRIORITY = -1
"""CUDA's scale: lower goes first; a stream has 0 unless told otherwise."""


def attended_length(length: int, capacity: int) -> int:
    """Return the cache rows that a step attends to for a history of ``length`` tokens: the next
    power of two, at least 512 and at most ``capacity``."""
    return min(max(SHORTEST_ATTENDED, 1 << (length - 1).bit_length()), capacity)


def attended_lengths(capacity: int) -> list[int]:
    """Return every value of :func:`attended_length`, in ascending order."""
    lengths = [attended_length(1, capacity)]
    while lengths[-1] < capacity:
        lengths.append(attended_length(lengths[-1] + 1, capacity))
    return lengths


@contextmanager
def decode_stream(device: torch.device) -> Iterator[None]:
    """Queue the thread's work on ``device`` to a CUDA stream of high priority, one per device, so
    that a step's many small kernels go before those of speech. Nests; does nothing on other
    devices.

    What was queued before on the thread's stream comes first, and later work on it waits for the
    context's. Only one thread at a time may capture, and none may
    queue work meanwhile.
    """
    if device.type != "cuda":
        yield
        return
    outer = torch.cuda.current_stream(device)
    stream = _urgent_stream(outer.device_index)
    if stream == outer:
        yield
        return
    stream.wait_stream(outer)
    try:
        with torch.cuda.stream(stream):
            yield
    finally:
        outer.wait_stream(stream)


@cache
def _urgent_stream(index: int) -> torch.cuda.Stream:
    return torch.cuda.Stream(index, priority=_HIGH_PRIORITY)


Step = Callable[[int, int], None]
"""Takes ``(rows, attended)``. It must be repeatable on unchanged inputs (it runs before a capture),
keep inputs and outputs in tensors that outlive it, and never wait for the device."""


class StepGraphs:
    """Runs a step on ``device`` as a CUDA graph: each size is captured on first use, then replayed.

    It is always the same step, which is not kept: whoever has the graphs would otherwise keep
    itself. The graphs share one memory pool, so they must not run concurrently. Their kernels keep
    the priority of :func:`decode_stream`, whatever stream they are replayed on. Other threads may
    use other streams during a capture.
    """

    def __init__(self, device: torch.device) -> None:
        self._device = device
        self._graphs: dict[tuple[int, int], torch.cuda.CUDAGraph] = {}
        self._pool = torch.cuda.graph_pool_handle()

    def prepare(self, step: Step, rows: int, attended: int) -> None:
        """Capture ``step`` in this size unless it is captured already. Runs it."""
        size = rows, attended
        if size in self._graphs:
            return
        with torch.cuda.device(self._device), decode_stream(self._device):
            for _ in range(WARM_UPS):
                step(*size)
            graph = torch.cuda.CUDAGraph()
            with capturing(graph, self._pool, torch.cuda.current_stream(self._device)):
                step(*size)
        self._graphs[size] = graph

    def __call__(self, step: Step, rows: int, attended: int) -> None:
        """Run ``step`` in this size on the current stream."""
        self.prepare(step, rows, attended)
        self._graphs[rows, attended].replay()


class TokenRead:
    """Reads one token from ``device`` while the device goes on working.

    :meth:`start` a read on the current stream, queue more work, then :meth:`finish` the read. It
    waits only for what was queued before the start.
    """

    def __init__(self, device: torch.device) -> None:
        self._device = device
        self._event = torch.cuda.Event() if device.type == "cuda" else None
        self._token = torch.zeros(1, dtype=torch.long, pin_memory=self._event is not None)

    def start(self, token: Tensor) -> None:
        """Start reading ``token``, int64 (1,)."""
        # Without an event nothing tells when an asynchronous copy is complete.
        self._token.copy_(token, non_blocking=self._event is not None)
        if self._event is not None:
            # The default would be the first GPU's stream, and the event would wait for nothing.
            self._event.record(torch.cuda.current_stream(self._device))

    def finish(self) -> int:
        """Return the token whose read was started last."""
        if self._event is not None:
            self._event.synchronize()
        return int(self._token)
