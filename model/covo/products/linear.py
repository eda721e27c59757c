"""Products of rows with linear layers: by one Triton kernel on a GPU, else by the layer itself.

Both compute the same. Up to :data:`FEW_ROWS` rows, the kernels of
:mod:`model.covo.products.few_rows` read any weight faster; up to :data:`SOME_ROWS`, those of
:mod:`model.covo.products.tensor_cores` multiply integers without writing them out. Both gate in the
same pass.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor, nn

from model.covo.config.device import triton_works
from model.covo.products.integers import IntegerLinear

FEW_ROWS = 2
"""More rows are better multiplied by tensor cores."""
SOME_ROWS = 128
"""Rows up to which integers are not written out. At an H100's peak, 148 rows of int8 or 74 of int4
take as long to multiply as the weights to read; writing an int8 weight out moves five bytes instead
of one. The best limit is yet to be measured."""
TENSOR_CORE_DTYPES = (torch.bfloat16, torch.float16)
"""Dtypes of rows that the tensor cores multiply without rounding them."""


def multiply(layer: nn.Module, rows: Tensor) -> Tensor:
    """Return ``layer(rows)``: (n, outputs) for ``rows`` (n, inputs)."""
    product = _by_kernel(layer, rows, gated=False)
    return layer(rows) if product is None else product


def multiply_gated(layer: nn.Module, rows: Tensor, gate: Callable[[Tensor], Tensor]) -> Tensor:
    """Return ``gate(layer(rows))``, where ``gate`` is SiLU of the outputs' first half times their
    second half, and the layer has no bias."""
    product = _by_kernel(layer, rows, gated=True)
    return gate(layer(rows)) if product is None else product


def _by_kernel(layer: nn.Module, rows: Tensor, *, gated: bool) -> Tensor | None:
    """Return the product, None where the layer itself is the one to compute it."""
    if not isinstance(layer, nn.Linear | IntegerLinear) or not triton_works(rows.device):
        return None
    weight, bias = layer.weight, layer.bias
    scales, group = None, 0
    if isinstance(layer, IntegerLinear):
        scales, group = layer.scales, layer.group
    if len(rows) <= FEW_ROWS:
        from model.covo.products.few_rows import few_rows_product

        return few_rows_product(rows, weight, bias, scales, group=group, gated=gated)
    if scales is not None and len(rows) <= SOME_ROWS and rows.dtype in TENSOR_CORE_DTYPES:
        from model.covo.products.tensor_cores import tensor_core_product

        return tensor_core_product(rows, weight, bias, scales, group=group, gated=gated)
    return None
