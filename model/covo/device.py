"""Which device the network runs on, and how exactly."""

from __future__ import annotations

import torch

from model.covo.precision import Precision
from model.errors import NetworkConfigError

AUTO = "auto"


def pick_device() -> str:
    """``cuda``, ``mps`` or ``cpu``: the fastest that is here."""
    if torch.cuda.is_available():
        return "cuda"
    return "mps" if torch.backends.mps.is_available() else "cpu"


def named_device(name: str) -> torch.device:
    """The device that a user calls ``name``; ``auto``: :func:`pick_device`.

    Raises: NetworkConfigError when torch knows no such device.
    """
    try:
        return torch.device(pick_device() if name == AUTO else name)
    except RuntimeError as error:
        raise NetworkConfigError(
            f"there is no device {name!r}; it is auto, cuda, cuda:1, mps or cpu"
        ) from error


def compute_exactly(precision: Precision) -> None:
    """For ``fp32``: keep cuDNN from rounding float32 convolutions to TF32 (10 bits), which it does
    unless told otherwise. That is for the whole process; no other precision has such convolutions.
    """
    if precision is Precision.FP32:
        torch.backends.cudnn.allow_tf32 = False
