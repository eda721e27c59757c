"""Fast decode steps on CUDA: graphs of a few sizes, and token reads that overlap with work.

A step attends to the next power of two above the history's length, so each step can be a CUDA graph
that was captured once, and a short history never pays for the whole capacity.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

SHORTEST_ATTENDED = 512
WARM_UPS = 2
"""Warm-up runs before a capture, so that libraries choose kernels and allocate workspaces."""


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


class StepGraphs:
    """Runs ``step(size)`` as a CUDA graph: each size is captured on first use, then replayed.

    ``step`` must be repeatable on unchanged inputs (it runs before a capture), keep inputs and
    outputs in tensors that outlive it, and never wait for the device. The graphs share one memory
    pool, so they must not run concurrently. Other threads may use other streams during a capture.
    """

    def __init__(self, step: Callable[[int], None], device: torch.device) -> None:
        self._step, self._device = step, device
        self._graphs: dict[int, torch.cuda.CUDAGraph] = {}
        self._pool = torch.cuda.graph_pool_handle()
        self._stream = torch.cuda.Stream(device)

    def prepare(self, size: int) -> None:
        """Capture ``size`` unless it is captured already. Runs the step."""
        if size in self._graphs:
            return
        with torch.cuda.device(self._device):
            current = torch.cuda.current_stream()
            self._stream.wait_stream(current)
            with torch.cuda.stream(self._stream):
                for _ in range(WARM_UPS):
                    self._step(size)
            current.wait_stream(self._stream)
            graph = torch.cuda.CUDAGraph()
            with torch.cuda.graph(
                graph,
                pool=self._pool,
                stream=self._stream,
                capture_error_mode="thread_local",
            ):
                self._step(size)
        self._graphs[size] = graph

    def __call__(self, size: int) -> None:
        """Run the step for ``size`` on the current stream."""
        self.prepare(size)
        self._graphs[size].replay()


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
