"""Times on a device, and what the device can do at best."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import torch

from model.covo.config.precision import Precision

_CUDA_BYTES, _HOST_BYTES = 2**30, 2**27
"""Of the array whose reading is timed: larger than the caches of its device."""
_CUDA_WIDTH, _HOST_WIDTH = 8192, 1024
_CUDA_BATCH, _HOST_BATCH = 8, 1
"""Operations between two looks at the clock, so that starting them does not count."""


class DeviceClock:
    """Wall time of work on ``device``, from the call until the device is idle again: what a person
    waits for, starting the kernels included."""

    def __init__(self, device: torch.device) -> None:
        self.device = device

    def wait(self) -> None:
        """Wait until nothing runs on the device any more."""
        if self.device.type == "cuda":
            torch.cuda.synchronize(self.device)
        elif self.device.type == "mps":
            torch.mps.synchronize()

    def seconds(self, work: Callable[[], object]) -> float:
        """How long ``work`` takes, once."""
        self.wait()
        began = time.perf_counter()
        work()
        self.wait()
        return time.perf_counter() - began

    def repeated(self, work: Callable[[], object], runs: int, warm_ups: int = 2) -> list[float]:
        """How long ``work`` takes, ``runs`` times, after ``warm_ups`` that do not count."""
        for _ in range(warm_ups):
            work()
        return [self.seconds(work) for _ in range(runs)]

    def start_counting(self) -> None:
        """Give back what torch keeps of freed memory, and let :meth:`memory` count from now."""
        if self.device.type == "cuda":
            torch.cuda.empty_cache()
            torch.cuda.reset_peak_memory_stats(self.device)

    def memory(self) -> dict[str, int | None]:
        """Bytes that tensors have taken at most, that torch has taken from the device for them at
        most, and that are taken on the device now, by whomever. None where nobody counts them."""
        if self.device.type != "cuda":
            return dict.fromkeys(("peak_allocated", "peak_reserved", "device_used"))
        free, total = torch.cuda.mem_get_info(self.device)
        return {
            "peak_allocated": int(torch.cuda.max_memory_allocated(self.device)),
            "peak_reserved": int(torch.cuda.max_memory_reserved(self.device)),
            "device_used": int(total - free),
        }


def read_bandwidth(clock: DeviceClock, runs: int) -> float:
    """Bytes per second at which the device reads memory, the better of copying (read and written
    bytes both count) and adding up a large array."""
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
    """Floating-point operations per second of a large square matrix product in ``precision``."""
    batch = _batch(clock)
    width = _CUDA_WIDTH if clock.device.type == "cuda" else _HOST_WIDTH
    dtype: torch.dtype = getattr(torch, precision.dtype)
    # Not ones: a product of equal numbers takes less power, and runs faster than any real one.
    left = torch.empty(width, width, dtype=dtype, device=clock.device).normal_()
    out = torch.empty_like(left)

    def multiply() -> None:
        for _ in range(batch):
            torch.mm(left, left, out=out)

    return batch * 2 * width**3 / min(clock.repeated(multiply, runs))


def milliseconds(times: Sequence[float]) -> dict[str, float]:
    """Median and 95th percentile of ``times`` in seconds, as milliseconds."""
    return {
        "median_ms": round(1000 * statistics.median(times), 4),
        "p95_ms": round(1000 * float(np.percentile(times, 95)), 4),
    }


def device_facts(device: torch.device) -> dict[str, Any]:
    """What the network runs on, and with which libraries; ``device_name`` is empty where the
    machine's processor says it all."""
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
