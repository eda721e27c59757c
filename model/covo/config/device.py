"""Which device the network runs on, and what torch is told before it does."""

from __future__ import annotations

import torch

from model.covo.config.precision import Precision
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


def set_up_torch(precision: Precision) -> None:
    """For the whole process, before a network in ``precision`` is filled; only CUDA notices.

    Attention is not cuDNN's, which torch prefers on some cards: it makes a plan for each length
    and keeps it by thread, and here nearly every chunk has a length of its own. FlashAttention has
    no plans. And ``fp32`` is fp32: cuDNN would round its convolutions to TF32 (10 bits).
    """
    torch.backends.cuda.enable_cudnn_sdp(False)
    if precision is Precision.FP32:
        torch.backends.cudnn.allow_tf32 = False
