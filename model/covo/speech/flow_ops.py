"""What flow matching computes between its products, in torch's operations.

:mod:`model.covo.speech.flow_kernels` has the same as Triton kernels, one launch each.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional

from model.covo.language.rotary import Rotation, rotate


@dataclass(frozen=True, slots=True)
class FlowOps:
    """One way to compute them. ``x`` and ``change`` are (batch, time, hidden), contiguous.

    Args:
        norm: (x, scale, shift, eps) -> the layer norm of ``x`` with that weight and bias.
        add_and_norm: (x, gate, change, scale, shift, eps) -> ``x + gate * change``, and its norm.
        rotate: (projected, positions, heads) -> rotated queries, rotated keys, and values, each
            (batch, heads, time, width). ``projected`` (batch, time, 3 * hidden) holds these; it may
            be written to.
        widen: (x, weight, bias) -> GELU (tanh form) of the linear layer of ``x``.
        lay_out: (weight) -> a grouped convolution's weight as ``embed`` wants it, so that a chunk
            needs this once.
        embed: (x, laid-out weight, bias) -> GELU of the convolution of ``x`` over time.
    """

    norm: Callable[[Tensor, Tensor, Tensor, float], Tensor]
    add_and_norm: Callable[[Tensor, Tensor, Tensor, Tensor, Tensor, float], tuple[Tensor, Tensor]]
    rotate: Callable[[Tensor, Rotation, int], tuple[Tensor, Tensor, Tensor]]
    widen: Callable[[Tensor, Tensor, Tensor], Tensor]
    lay_out: Callable[[Tensor], Tensor]
    embed: Callable[[Tensor, Tensor, Tensor], Tensor]


def _norm(x: Tensor, scale: Tensor, shift: Tensor, eps: float) -> Tensor:
    return functional.layer_norm(x, x.shape[-1:], scale, shift, eps)


def _add_and_norm(
    x: Tensor, gate: Tensor, change: Tensor, scale: Tensor, shift: Tensor, eps: float
) -> tuple[Tensor, Tensor]:
    total = torch.addcmul(x, gate, change)
    return total, _norm(total, scale, shift, eps)


def _rotate(projected: Tensor, positions: Rotation, heads: int) -> tuple[Tensor, Tensor, Tensor]:
    each = projected.unflatten(-1, (3, heads, -1))
    query, key = rotate(each[:, :, :2], positions).transpose(1, 3).unbind(2)
    return query, key, each[:, :, 2].transpose(1, 2)


def _widen(x: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
    return functional.gelu(functional.linear(x, weight, bias), approximate="tanh")


def _lay_out(weight: Tensor) -> Tensor:
    return weight


def _embed(x: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
    channels, width, kernel = weight.shape
    mixed = functional.conv1d(
        x.transpose(1, 2), weight, bias, padding=kernel // 2, groups=channels // width
    )
    return functional.gelu(mixed).transpose(1, 2)


EAGER = FlowOps(_norm, _add_and_norm, _rotate, _widen, _lay_out, _embed)
