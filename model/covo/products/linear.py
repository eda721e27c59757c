"""Products of rows with linear layers: few rows on a GPU by one kernel, others by the layer itself.

Both compute the same; the kernel (:mod:`model.covo.products.few_rows`) reads the weights faster,
and gates in the same pass.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeGuard

from torch import Tensor, nn

from model.covo.config.device import triton_works
from model.covo.products.integers import IntegerLinear

FEW_ROWS = 2
"""More rows are better multiplied by tensor cores."""


def multiply(layer: nn.Module, rows: Tensor) -> Tensor:
    """Return ``layer(rows)``: (n, outputs) for ``rows`` (n, inputs)."""
    if _is_few(layer, rows):
        return _few(layer, rows, gated=False)
    product: Tensor = layer(rows)
    return product


def multiply_gated(layer: nn.Module, rows: Tensor, gate: Callable[[Tensor], Tensor]) -> Tensor:
    """Return ``gate(layer(rows))``, where ``gate`` is SiLU of the outputs' first half times their
    second half, and the layer has no bias."""
    if _is_few(layer, rows):
        return _few(layer, rows, gated=True)
    return gate(layer(rows))


def _is_few(layer: nn.Module, rows: Tensor) -> TypeGuard[nn.Linear | IntegerLinear]:
    known = isinstance(layer, nn.Linear | IntegerLinear)
    return known and len(rows) <= FEW_ROWS and triton_works(rows.device)


def _few(layer: nn.Linear | IntegerLinear, rows: Tensor, *, gated: bool) -> Tensor:
    from model.covo.products.few_rows import few_rows_product

    weight, bias = layer.weight, layer.bias
    if isinstance(layer, IntegerLinear):
        scales, group = layer.scales, layer.group
        return few_rows_product(rows, weight, bias, scales, group=group, gated=gated)
    return few_rows_product(rows, weight, bias, gated=gated)
