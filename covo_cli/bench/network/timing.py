"""Time work on a device and measure the device's limits."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import torch

from model.covo.config.precision import Precision

_CUDA_BYTES, _HOST_BYTES = 2**30, 2**27
"""Size of the array read: larger than the device's caches."""
_CUDA_WIDTH, _HOST_WIDTH = 8192, 1024
_CUDA_BATCH, _HOST_BATCH = 8, 1
"""Operations per measurement, so that launch time is negligible."""


class DeviceClock:
    """Measure wall time from a call until ``device`` is idle again, launches included."""

    def __init__(self, device: torch.device) -> None:
        self.device = device

    def wait(self) -> None:
        """Wait until the device is idle."""
        if self.device.type == "cuda":
            torch.cuda.synchronize(self.device)
        elif self.device.type == "mps":
            torch.mps.synchronize()

    def seconds(self, work: Callable[[], object]) -> float:
        """Time one call of ``work``, in seconds."""
        self.wait()
        began = time.perf_counter()
        work()
        self.wait()
        return time.perf_counter() - began

    def repeated(self, work: Callable[[], object], runs: int, warm_ups: int = 2) -> list[float]:
        """Time ``runs`` calls of ``work`` in seconds, after ``warm_ups`` untimed ones."""
        for _ in range(warm_ups):
            work()
        return [self.seconds(work) for _ in range(runs)]

    def start_counting(self) -> None:
        """Release torch's cached memory and reset the peaks of :meth:`memory`."""
        if self.device.type == "cuda":
            torch.cuda.empty_cache()
            torch.cuda.reset_peak_memory_stats(self.device)

    def memory(self) -> dict[str, int | None]:
        """Return peak bytes of tensors, peak bytes reserved by torch, and bytes now used by all
        processes on the device; None without CUDA."""
        if self.device.type != "cuda":
            return dict.fromkeys(("peak_allocated", "peak_reserved", "device_used"))
        free, total = torch.cuda.mem_get_info(self.device)
        return {
            "peak_allocated": int(torch.cuda.max_memory_allocated(self.device)),
            "peak_reserved": int(torch.cuda.max_memory_reserved(self.device)),
            "device_used": int(total - free),
        }


def read_bandwidth(clock: DeviceClock, runs: int) -> float:
    """Measure the memory bandwidth in bytes/s: the better of copying (reads and writes count) and
    summing a large array."""
    size = _CUDA_BYTES if clock.device.type == "cuda" else _HOST_BYTES
    batch = _batch(clock)
    source = torch.ones(size // 4, dtype=torch.float32, device=clock.device)
    target = torch.empty_like(source)

    def copy() -> None:
        for _ in range(batch):
            target.copy_(source)

    def read() -> None:
        for _ in range(batch):
            source.sum()

    copied = 2 * batch * size / min(clock.repeated(copy, runs))
    return max(copied, batch * size / min(clock.repeated(read, runs)))


def matmul_peak(clock: DeviceClock, precision: Precision, runs: int) -> float:
    """Measure operations per second of a large square matrix product in ``precision``."""
    batch = _batch(clock)
    width = _CUDA_WIDTH if clock.device.type == "cuda" else _HOST_WIDTH
    dtype: torch.dtype = getattr(torch, precision.dtype)
    # Random, since a product of equal numbers draws less power and runs faster than real data.
    left = torch.empty(width, width, dtype=dtype, device=clock.device).normal_()
    out = torch.empty_like(left)

    def multiply() -> None:
        for _ in range(batch):
            torch.mm(left, left, out=out)

    return batch * 2 * width**3 / min(clock.repeated(multiply, runs))


def milliseconds(times: Sequence[float]) -> dict[str, float]:
    """Return median and 95th percentile of ``times`` (s) in milliseconds."""
    return {
        "median_ms": round(1000 * statistics.median(times), 4),
        "p95_ms": round(1000 * float(np.percentile(times, 95)), 4),
    }


def device_facts(device: torch.device) -> dict[str, Any]:
    """Describe the device and libraries; ``device_name`` is empty except on CUDA."""
    import transformers

    return {
        "device": str(device),
        "device_name": torch.cuda.get_device_name(device) if device.type == "cuda" else "",
        "threads": torch.get_num_threads(),
        "torch": torch.__version__,
        "cuda": torch.version.cuda,
        "transformers": transformers.__version__,
    }


def _batch(clock: DeviceClock) -> int:
    return _CUDA_BATCH if clock.device.type == "cuda" else _HOST_BATCH
