"""Products of rows with linear layers: by one Triton kernel on a GPU, else by the layer itself.

Both compute the same. Up to :data:`FEW_ROWS` rows, the kernels of
:mod:`model.covo.products.few_rows` read any weight faster; for more, those of
:mod:`model.covo.products.tensor_cores` multiply integers without writing them out. Both gate in the
same pass.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor, nn
from torch.nn.functional import linear

from model.covo.config.device import triton_works
from model.covo.products.integers import IntegerLinear

FEW_ROWS = 2
"""More rows are better multiplied by tensor cores."""
TENSOR_CORE_DTYPES = (torch.bfloat16, torch.float16)
"""Dtypes of rows that the tensor cores multiply without rounding them. Integers are then
faster than written out for as many rows as a prefill computes at once."""
ALIGNMENT, ALIGNED_DEVICES = 16, ("cuda",)
"""Outputs that are no multiple of it send cuBLAS to a slow kernel: the head's 168,055, for 32 rows
on an H200, take 1.36 ms, but 0.36 if the last seven are a product of their own."""


def multiply(layer: nn.Module, rows: Tensor) -> Tensor:
    """Return ``layer(rows)``: (n, outputs) for ``rows`` (n, inputs). Has no gradient."""
    product = _by_kernel(layer, rows, gated=False)
    if product is not None:
        return product
    on_tensor_cores = rows.device.type in ALIGNED_DEVICES and rows.dtype in TENSOR_CORE_DTYPES
    if isinstance(layer, nn.Linear) and layer.bias is None and on_tensor_cores:
        return _aligned_product(rows, layer.weight)
    made: Tensor = layer(rows)
    return made


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
    if scales is not None and rows.dtype in TENSOR_CORE_DTYPES:
        from model.covo.products.tensor_cores import tensor_core_product

        return tensor_core_product(rows, weight, bias, scales, group=group, gated=gated)
    return None


def _aligned_product(rows: Tensor, weight: Tensor) -> Tensor:
    """Return ``rows`` (n, inputs) times ``weight`` (outputs, inputs) transposed: most outputs, then
    the last few. The result's rows are aligned, too."""
    outputs = len(weight)
    rest = outputs % ALIGNMENT
    if not rest:
        return linear(rows, weight)
    result = rows.new_empty(len(rows), outputs - rest + ALIGNMENT)[:, :outputs]
    for part in (slice(outputs - rest), slice(outputs - rest, outputs)):
        torch.mm(rows, weight[part].t(), out=result[:, part])
    return result
