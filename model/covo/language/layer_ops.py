"""What a layer computes between its products, in torch's operations.

:mod:`model.covo.language.kernels` has the same as Triton kernels, one launch each.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from torch import Tensor
from torch.nn.functional import rms_norm, silu

from model.covo.language.rotary import Rotation, rotate


@dataclass(frozen=True, slots=True)
class LayerOps:
    """One way to compute them.

    Args:
        add_norm: (rows, more, weight, eps) -> rows + more, and its RMS norm times weight; ``more``
            None adds nothing. All rows are (n, hidden).
        rotate_and_store: (projected, rotation, positions, keys, values) -> the rotated queries
            (n, heads, width). ``projected`` holds queries, keys and values of each row; rotated
            keys and values go to the cache rows ``positions``, int64 (n,).
        gate: (gate and up (n, 2 ffn)) -> SiLU(gate) * up (n, ffn).
    """

    add_norm: Callable[[Tensor, Tensor | None, Tensor, float], tuple[Tensor, Tensor]]
    rotate_and_store: Callable[[Tensor, Rotation, Tensor, Tensor, Tensor], Tensor]
    gate: Callable[[Tensor], Tensor]


def _add_norm(
    rows: Tensor, more: Tensor | None, weight: Tensor, eps: float
) -> tuple[Tensor, Tensor]:
    if more is not None:
        rows = rows + more
    return rows, rms_norm(rows, weight.shape, weight, eps)


def _rotate_and_store(
    projected: Tensor, rotation: Rotation, positions: Tensor, keys: Tensor, values: Tensor
) -> Tensor:
    _, shared, width = keys.shape
    each = projected.view(len(projected), -1, width)
    heads = each.shape[1] - 2 * shared
    both, value = each.split((heads + shared, shared), dim=1)
    query: Tensor
    query, key = rotate(both, rotation).split((heads, shared), dim=1)
    keys[positions], values[positions] = key, value
    return query


def _gate(gate_up: Tensor) -> Tensor:
    gate, up = gate_up.chunk(2, dim=-1)
    gated: Tensor = silu(gate) * up
    return gated


EAGER = LayerOps(_add_norm, _rotate_and_store, _gate)
