"""Products of rows with weights held as integers, on tensor cores, as one Triton kernel each.

A program reads a tile of integers, turns it into the rows' dtype in registers, and multiplies it by
up to 64 rows. Sums are in float32. Kernels are compiled for a few numbers of rows
(:func:`rows_per_program`) and mask those that are missing. Nothing is chosen at run time, so a
product can be part of a CUDA graph once it ran. Import this module only where Triton works
(:func:`model.covo.config.device.triton_works`).
"""

from __future__ import annotations

import torch
import triton
import triton.language as tl
from torch import Tensor

_ROWS = (16, 32, 64)
"""Rows of one program, from the fewest that tl.dot takes to what fits the 99 KB of shared memory of
consumer cards, beside the weights that are loaded ahead."""
_OUTPUTS = 64
"""Weight rows of one program: those of one matrix instruction of four warps on Hopper."""
_INT8_COLUMNS = 128
_WARPS = 4
_STAGES, _GATED_STAGES = 4, 3
"""Depth of the loads' pipeline. A gated product loads two tiles of weights per stage."""


def rows_per_program(count: int) -> int:
    """Return the rows of one program for a product of ``count`` rows: 16, 32 or 64."""
    return next((rows for rows in _ROWS if count <= rows), _ROWS[-1])


def tensor_core_product(
    rows: Tensor,
    weight: Tensor,
    bias: Tensor | None,
    scales: Tensor,
    *,
    group: int = 0,
    gated: bool = False,
) -> Tensor:
    """Return ``rows`` (n, columns) times ``weight`` (outputs, columns) transposed, plus ``bias``.

    ``weight``, ``scales`` and ``group`` (0 for int8) are those of
    :mod:`model.covo.products.integers`. ``gated``: the weight's first half are gates, and the
    result (n, outputs / 2) is SiLU(gate) * rest, without a bias.
    """
    rows = rows.contiguous()
    count, columns = rows.shape
    parts = 2 if gated else 1
    outputs = weight.shape[0] // parts
    result = rows.new_empty(count, outputs)
    tile = rows_per_program(count)
    # Neighbouring programs differ in their rows only, so they share the weights in the cache.
    grid = (triton.cdiv(count, tile), triton.cdiv(outputs, _OUTPUTS))
    common = {
        "parts": parts,
        "biased": bias is not None,
        "tile_rows": tile,
        "tile_outputs": _OUTPUTS,
        "stages": _GATED_STAGES if gated else _STAGES,
        "num_warps": _WARPS,
    }
    with torch.cuda.device_of(rows):
        if group:
            # A scale and an offset in one word.
            words = scales.view(torch.int32)
            _int4_dot_kernel[grid](
                rows, weight, words, bias, result, count, outputs, columns, group=group, **common
            )
        else:
            _int8_dot_kernel[grid](
                rows, weight, scales, bias, result, count, outputs, columns,
                tile_columns=_INT8_COLUMNS, **common,
            )  # fmt: skip
    return result


@triton.jit(do_not_specialize=["rows"])
def _int8_dot_kernel(  # type: ignore[no-untyped-def]
    x, weight, scales, bias, result, rows, outputs, columns: tl.constexpr,
    parts: tl.constexpr, biased: tl.constexpr,
    tile_rows: tl.constexpr, tile_outputs: tl.constexpr, tile_columns: tl.constexpr,
    stages: tl.constexpr,
):  # fmt: skip
    row = tl.program_id(0) * tile_rows + tl.arange(0, tile_rows)
    output = tl.program_id(1) * tile_outputs + tl.arange(0, tile_outputs)
    wanted, known = row < rows, output < outputs
    totals = (tl.zeros((tile_outputs, tile_rows), tl.float32),) * parts
    for start in tl.range(0, columns, tile_columns, num_stages=stages):
        column = start + tl.arange(0, tile_columns)
        inside = column < columns
        given = tl.load(
            x + row[None, :] * columns + column[:, None],
            mask=inside[:, None] & wanted[None, :],
            other=0,
        )
        sums = ()
        for part in tl.static_range(parts):
            place = (part * outputs + output).to(tl.int64)[:, None] * columns + column[None, :]
            held = tl.load(weight + place, mask=known[:, None] & inside[None, :], other=0)
            sums += (  # type: ignore[assignment]
                tl.dot(held.to(given.dtype), given, totals[part], input_precision="ieee"),
            )
        totals = sums
    value = totals[0] * tl.load(scales + output, mask=known, other=0).to(tl.float32)[:, None]
    if biased:
        value += tl.load(bias + output, mask=known, other=0).to(tl.float32)[:, None]
    if parts == 2:
        scale = tl.load(scales + outputs + output, mask=known, other=0).to(tl.float32)
        value = value / (1 + tl.exp(-value)) * (totals[1] * scale[:, None])
    tl.store(
        result + row[None, :] * outputs + output[:, None],
        value.to(result.dtype.element_ty),
        mask=known[:, None] & wanted[None, :],
    )


@triton.jit(do_not_specialize=["rows"])
def _int4_dot_kernel(  # type: ignore[no-untyped-def]
    x, weight, scales, bias, result, rows, outputs, columns: tl.constexpr,
    parts: tl.constexpr, biased: tl.constexpr, group: tl.constexpr,
    tile_rows: tl.constexpr, tile_outputs: tl.constexpr, stages: tl.constexpr,
):  # fmt: skip
    half: tl.constexpr = group // 2
    groups: tl.constexpr = columns // group
    row = tl.program_id(0) * tile_rows + tl.arange(0, tile_rows)
    output = tl.program_id(1) * tile_outputs + tl.arange(0, tile_outputs)
    wanted, known = row < rows, output < outputs
    place = tl.arange(0, half)
    totals = (tl.zeros((tile_outputs, tile_rows), tl.float32),) * parts
    for nth in tl.range(0, groups, num_stages=stages):
        # A byte holds a weight of the group's first half and one of its second.
        source = x + row[None, :] * columns + nth * group + place[:, None]
        first = tl.load(source, mask=wanted[None, :], other=0)
        second = tl.load(source + half, mask=wanted[None, :], other=0)
        sums = ()
        for part in tl.static_range(parts):
            slot = (part * outputs + output).to(tl.int64) * groups + nth
            both = tl.load(
                weight + slot[:, None] * half + place[None, :], mask=known[:, None], other=0
            )
            word = tl.load(scales + slot, mask=known, other=0)
            scale = (word << 16).to(tl.float32, bitcast=True)[:, None]
            offset = (word & -65536).to(tl.float32, bitcast=True)[:, None] - 8 * scale
            low = ((both & 15).to(tl.float32) * scale + offset).to(first.dtype)
            high = ((both >> 4).to(tl.float32) * scale + offset).to(first.dtype)
            total = tl.dot(low, first, totals[part], input_precision="ieee")
            sums += (tl.dot(high, second, total, input_precision="ieee"),)  # type: ignore[assignment]
        totals = sums
    value = totals[0]
    if biased:
        value += tl.load(bias + output, mask=known, other=0).to(tl.float32)[:, None]
    if parts == 2:
        value = value / (1 + tl.exp(-value)) * totals[1]
    tl.store(
        result + row[None, :] * outputs + output[:, None],
        value.to(result.dtype.element_ty),
        mask=known[:, None] & wanted[None, :],
    )
