"""Convolutions that may round their inputs to TF32, without torch's global switch.

The switch holds for all threads, so the vocoder's would also round what other threads convolve in
the meantime. cuDNN's own functions take it as an argument.
"""

from __future__ import annotations

import torch
from torch import Tensor


def available(x: Tensor) -> bool:
    """Return whether the functions below work for ``x``."""
    if torch.version.hip is not None:  # torch names MIOpen cuDNN, but it lacks these functions
        return False
    return x.is_cuda and x.dtype == torch.float32 and torch.backends.cudnn.is_acceptable(x)


def conv1d(x: Tensor, weight: Tensor, bias: Tensor | None, dilation: int) -> Tensor:
    """Return what ``torch.nn.functional.conv1d`` does, up to rounding."""
    # cuDNN has no convolutions of one dimension.
    made = torch.cudnn_convolution(
        x.unsqueeze(2), weight.unsqueeze(2), (0, 0), (1, 1), (1, dilation), 1,
        benchmark=False, deterministic=False, allow_tf32=True,
    )  # fmt: skip
    return _biased(made.squeeze(2), bias)


def conv_transpose1d(x: Tensor, weight: Tensor, bias: Tensor | None, stride: int) -> Tensor:
    """Return what ``torch.nn.functional.conv_transpose1d`` does, up to rounding."""
    made = torch.cudnn_convolution_transpose(
        x.unsqueeze(2), weight.unsqueeze(2), (0, 0), (0, 0), (1, stride), (1, 1), 1,
        benchmark=False, deterministic=False, allow_tf32=True,
    )  # fmt: skip
    return _biased(made.squeeze(2), bias)


def _biased(made: Tensor, bias: Tensor | None) -> Tensor:
    return made if bias is None else made.add_(bias[:, None])
