"""Convolutions that may round their inputs to TF32, each by its own word.

torch's switch for it holds for all threads, so switching it on for the vocoder would also round
whatever other threads convolve in the meantime. cuDNN's own functions take it as an argument.
"""

from __future__ import annotations

import torch
from torch import Tensor


def available(x: Tensor) -> bool:
    """Return whether convolutions of ``x`` can be rounded."""
    return x.is_cuda and x.dtype == torch.float32 and torch.backends.cudnn.is_acceptable(x)


def conv1d(x: Tensor, weight: Tensor, bias: Tensor | None, dilation: int) -> Tensor:
    """Do as ``torch.nn.functional.conv1d``."""
    # cuDNN knows two dimensions at least.
    made = torch.cudnn_convolution(
        x.unsqueeze(2), weight.unsqueeze(2), (0, 0), (1, 1), (1, dilation), 1,
        benchmark=False, deterministic=False, allow_tf32=True,
    )  # fmt: skip
    return _biased(made.squeeze(2), bias)


def conv_transpose1d(x: Tensor, weight: Tensor, bias: Tensor | None, stride: int) -> Tensor:
    """Do as ``torch.nn.functional.conv_transpose1d``."""
    made = torch.cudnn_convolution_transpose(
        x.unsqueeze(2), weight.unsqueeze(2), (0, 0), (0, 0), (1, stride), (1, 1), 1,
        benchmark=False, deterministic=False, allow_tf32=True,
    )  # fmt: skip
    return _biased(made.squeeze(2), bias)


def _biased(made: Tensor, bias: Tensor | None) -> Tensor:
    return made if bias is None else made.add_(bias[:, None])
