"""A step that is repeated many times, as CUDA graphs."""

from __future__ import annotations

from collections.abc import Callable

import torch

WARM_UPS = 2
"""Runs before a capture, in which libraries choose kernels and allocate their workspaces."""


class StepGraphs:
    """``step(size)`` for a few sizes, each captured when it is first wanted, then replayed.

    ``step`` must do the same when it is run again on unchanged inputs (it is, before a capture),
    keep its inputs and outputs in tensors that live outside of it, and never wait for the device.
    The graphs share one memory pool, so they must not run at the same time. Other threads may use
    the GPU, on their own streams, while one is captured.
    """

    def __init__(self, step: Callable[[int], None], device: torch.device) -> None:
        self._step, self._device = step, device
        self._graphs: dict[int, torch.cuda.CUDAGraph] = {}
        self._pool = torch.cuda.graph_pool_handle()
        self._stream = torch.cuda.Stream(device)

    def prepare(self, size: int) -> None:
        """Capture ``size``, unless that was done before. Runs the step."""
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
