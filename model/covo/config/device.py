"""Choose the network's device and set up torch for it."""

from __future__ import annotations

import torch

from model.covo.config.precision import Precision
from model.errors import NetworkConfigError

AUTO = "auto"


def pick_device() -> str:
    """Return the fastest available device: ``cuda``, ``mps`` or ``cpu``."""
    if torch.cuda.is_available():
        return "cuda"
    return "mps" if torch.backends.mps.is_available() else "cpu"


def named_device(name: str) -> torch.device:
    """Return the device called ``name``; ``auto`` means :func:`pick_device`.

    Raises: NetworkConfigError when torch knows no such device.
    """
    try:
        return torch.device(pick_device() if name == AUTO else name)
    except RuntimeError as error:
        raise NetworkConfigError(
            f"no device {name!r}; use auto, cuda, cuda:1, mps or cpu"
        ) from error


def set_up_torch(precision: Precision) -> None:
    """Set torch up, process-wide, for networks in ``precision``. Only CUDA is affected.

    cuDNN's attention, which torch prefers on some cards, builds a plan per length and thread, and
    nearly every chunk has a new length; FlashAttention needs no plans. For ``fp32``, cuDNN must not
    round convolutions to TF32 (10 bits).
    """
    torch.backends.cuda.enable_cudnn_sdp(False)
    if precision is Precision.FP32:
        torch.backends.cudnn.allow_tf32 = False
