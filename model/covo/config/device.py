"""Choose the network's device and set up torch for it."""

from __future__ import annotations

import gc
import logging
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from threading import Lock

import torch

from model.covo.config.gpu import Capability, is_modern, limits
from model.errors import NetworkConfigError

AUTO = "auto"
TRITON_DEVICES = ("cuda",)
"""Device types on which our Triton kernels run."""
LEAST_TRITON = (3, 4)
"""The oldest Triton that compiles them. torch 2.8 brings it; 2.6 and 2.7 bring 3.2 and 3.3."""

_CAPTURES = Lock()
_log = logging.getLogger(__name__)


def pick_device() -> str:
    """Return the fastest available device: ``cuda``, ``mps`` or ``cpu``."""
    if torch.cuda.is_available():
        return "cuda"
    return "mps" if torch.backends.mps.is_available() else "cpu"


def named_device(name: str) -> torch.device:
    """Return the device called ``name``; ``auto`` means :func:`pick_device`.

    Raises: NetworkConfigError when torch knows no such device, or has none here.
    """
    try:
        device = torch.device(pick_device() if name == AUTO else name)
    except RuntimeError as error:
        raise NetworkConfigError(
            f"no device {name!r}; use auto, cuda, cuda:1, mps or cpu"
        ) from error
    here = {"cuda": torch.cuda.is_available(), "mps": torch.backends.mps.is_available()}
    if not here.get(device.type, True):
        raise NetworkConfigError(
            f"torch {torch.__version__} finds no device {name!r} here (covo doctor); install a "
            "torch for your GPU, or use cpu"
        )
    return device


def capability(device: torch.device) -> Capability | None:
    """Return the CUDA card's compute capability, None for other devices."""
    return torch.cuda.get_device_capability(device) if device.type == "cuda" else None


def describe(device: torch.device) -> str:
    """Return the device's name for the user, with what an older card lacks."""
    if device.type != "cuda":
        return str(device)
    parts = (torch.cuda.get_device_name(device), limits(capability(device)))
    return f"{device} ({'; '.join(filter(None, parts))})"


def set_up_torch() -> None:
    """Set torch up, process-wide. Only CUDA is affected.

    cuDNN's attention, which torch prefers on some cards, builds a plan per length and thread, and
    nearly every chunk has a new length; FlashAttention needs no plans. And cuDNN must not round
    convolutions in fp32 to TF32 (10 bits), unless the call says so
    (:mod:`model.covo.speech.tf32`).
    """
    torch.backends.cuda.enable_cudnn_sdp(False)
    torch.backends.cudnn.allow_tf32 = False


@contextmanager
def capturing(
    graph: torch.cuda.CUDAGraph, pool: torch.cuda._POOL_HANDLE, stream: torch.cuda.Stream
) -> Iterator[None]:
    """Record the thread's work on ``stream`` as ``graph``, with memory from ``pool``, instead of
    running it. Other threads may use other streams meanwhile, and wait for their turn to capture:
    beginning a capture waits for the whole device, which ends any other capture with an error, as
    freeing a graph does in the thread that captures."""
    with (
        _CAPTURES,
        _collecting_nothing(),
        torch.cuda.graph(graph, pool=pool, stream=stream, capture_error_mode="thread_local"),
    ):
        yield


@contextmanager
def _collecting_nothing() -> Iterator[None]:
    """Leave what only Python's collector frees, graphs perhaps, until the end."""
    collects = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if collects:
            gc.enable()


def triton_works(device: torch.device) -> bool:
    """Return whether Triton kernels run on ``device``; elsewhere torch's operations do their work.
    The first call for a GPU takes a moment."""
    return (
        device.type in TRITON_DEVICES
        and torch.version.hip is None
        and is_modern(capability(device))
        and _triton_builds()
    )


@cache
def _triton_builds() -> bool:
    """Return whether Triton is installed, new enough, and finds the compiler that its launchers
    need."""
    try:
        import triton
        from triton.runtime import driver

        if tuple(map(int, triton.__version__.split(".")[:2])) < LEAST_TRITON:
            _log.warning(
                "Triton %s is too old for our kernels, so replies are slower; install torch 2.8 or "
                "later, which brings a newer one",
                triton.__version__,
            )
            return False
        driver.active.get_current_target()
    except ImportError:
        _log.info("Triton is not installed; replies are slower without its kernels")
        return False
    except (RuntimeError, OSError, AssertionError, subprocess.SubprocessError) as error:
        _log.warning(
            "Triton cannot build kernels (%s), so replies are slower; it needs a C compiler and "
            "Python's headers, such as gcc and python3-dev",
            error,
        )
        return False
    return True
