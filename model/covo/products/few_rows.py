"""Products of one or two rows with a large weight matrix, as one Triton kernel each.

What counts is to read each weight once, as fast as the memory delivers it. A program multiplies all
rows by a few of the weight's rows, and its threads split the columns: even 3584 outputs keep every
multiprocessor of a large GPU busy. Sums are in float32. Nothing is chosen at run time, so a product
can be part of a CUDA graph once it ran. Import this module only where Triton works
(:func:`model.covo.config.device.triton_works`).
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
import triton
import triton.language as tl
from torch import Tensor


@dataclass(frozen=True, slots=True)
class _Tile:
    """What one program computes at a time: ``outputs`` weight rows by ``columns``. ``stages``: how
    many tiles are loaded ahead, through shared memory; 1 loads into registers."""

    outputs: int
    columns: int
    warps: int
    stages: int


# Integers are loaded in another layout than the rows they multiply. Loading ahead goes through
# shared memory, which is the cheapest way to change it.
_PLAIN = _Tile(outputs=2, columns=512, warps=2, stages=1)
_INT8 = _Tile(outputs=2, columns=512, warps=2, stages=3)
_INT4 = _Tile(outputs=2, columns=2048, warps=2, stages=3)


def few_rows_product(
    rows: Tensor,
    weight: Tensor,
    bias: Tensor | None = None,
    scales: Tensor | None = None,
    *,
    group: int = 0,
    gated: bool = False,
) -> Tensor:
    """Return ``rows`` (n, columns) times ``weight`` (outputs, columns) transposed, plus ``bias``.

    ``scales``: those of a weight of integers (:mod:`model.covo.products.integers`), with ``group``
    for int4. ``gated``: the weight's first half are gates, and the result (n, outputs / 2) is
    SiLU(gate) * rest, without a bias.
    """
    rows = rows.contiguous()
    count, columns = rows.shape
    parts = 2 if gated else 1
    outputs = weight.shape[0] // parts
    result = rows.new_empty(count, outputs)
    tile = _INT4 if group else _PLAIN if scales is None else _INT8
    grid = (triton.cdiv(outputs, tile.outputs),)
    common = {
        "rows": count,
        "parts": parts,
        "biased": bias is not None,
        "tile_outputs": tile.outputs,
        "stages": tile.stages,
        "num_warps": tile.warps,
    }
    with torch.cuda.device_of(rows):
        if group and scales is not None:
            # A scale and an offset in one word.
            words = scales.view(torch.int32)
            _int4_kernel[grid](
                rows, weight, words, bias, result, outputs, columns,
                group=group, tile_bytes=tile.columns // 2, **common,
            )  # fmt: skip
        else:
            _product_kernel[grid](
                rows, weight, scales, bias, result, outputs, columns,
                scaled=scales is not None, tile_columns=tile.columns, **common,
            )  # fmt: skip
    return result


@triton.jit
def _product_kernel(  # type: ignore[no-untyped-def]
    x, weight, scales, bias, result, outputs, columns: tl.constexpr,
    rows: tl.constexpr, parts: tl.constexpr, scaled: tl.constexpr, biased: tl.constexpr,
    tile_outputs: tl.constexpr, tile_columns: tl.constexpr, stages: tl.constexpr,
):  # fmt: skip
    output = tl.program_id(0) * tile_outputs + tl.arange(0, tile_outputs)
    known = output < outputs
    totals = (tl.zeros((tile_outputs, tile_columns), tl.float32),) * (parts * rows)
    for start in tl.range(0, columns, tile_columns, num_stages=stages):
        column = start + tl.arange(0, tile_columns)
        inside = column < columns
        sums = ()
        for part in tl.static_range(parts):
            place = (part * outputs + output).to(tl.int64)[:, None] * columns + column[None, :]
            held = tl.load(weight + place, mask=known[:, None] & inside[None, :], other=0)
            held = held.to(tl.float32)
            for row in tl.static_range(rows):
                given = tl.load(x + row * columns + column, mask=inside, other=0)
                sums += (totals[part * rows + row] + given.to(tl.float32)[None, :] * held,)  # type: ignore[assignment]
        totals = sums
    for row in tl.static_range(rows):
        value = tl.sum(totals[row], axis=1)
        if scaled:
            value *= tl.load(scales + output, mask=known, other=0).to(tl.float32)
        if biased:
            value += tl.load(bias + output, mask=known, other=0).to(tl.float32)
        if parts == 2:
            up = tl.sum(totals[rows + row], axis=1)
            if scaled:
                up *= tl.load(scales + outputs + output, mask=known, other=0).to(tl.float32)
            value = value / (1 + tl.exp(-value)) * up
        tl.store(result + row * outputs + output, value.to(result.dtype.element_ty), mask=known)


@triton.jit
def _int4_kernel(  # type: ignore[no-untyped-def]
    x, weight, scales, bias, result, outputs, columns: tl.constexpr,
    rows: tl.constexpr, parts: tl.constexpr, group: tl.constexpr, biased: tl.constexpr,
    tile_outputs: tl.constexpr, tile_bytes: tl.constexpr, stages: tl.constexpr,
):  # fmt: skip
    half: tl.constexpr = group // 2
    tile_groups: tl.constexpr = tile_bytes // half
    shape: tl.constexpr = (tile_outputs, tile_groups, half)
    width: tl.constexpr = columns // 2
    groups: tl.constexpr = columns // group
    output = tl.program_id(0) * tile_outputs + tl.arange(0, tile_outputs)
    known = output < outputs
    totals = (tl.zeros(shape, tl.float32),) * (parts * rows)
    for start in tl.range(0, width, tile_bytes, num_stages=stages):
        byte = start + tl.arange(0, tile_bytes)
        inside = byte < width
        nth = start // half + tl.arange(0, tile_groups)
        # A byte holds a weight of the group's first half and one of its second.
        column = byte // half * group + byte % half
        sums = ()
        for part in tl.static_range(parts):
            from_row = (part * outputs + output).to(tl.int64)[:, None]
            both = tl.load(
                weight + from_row * width + byte[None, :],
                mask=known[:, None] & inside[None, :],
                other=0,
            )
            word = tl.load(
                scales + from_row * groups + nth[None, :],
                mask=known[:, None] & (nth < groups)[None, :],
                other=0,
            )
            scale = (word << 16).to(tl.float32, bitcast=True)
            offset = (word & -65536).to(tl.float32, bitcast=True) - 8 * scale
            both = tl.reshape(both, shape)
            low = (both & 15).to(tl.float32) * scale[:, :, None] + offset[:, :, None]
            high = (both >> 4).to(tl.float32) * scale[:, :, None] + offset[:, :, None]
            for row in tl.static_range(rows):
                first = tl.load(x + row * columns + column, mask=inside, other=0)
                second = tl.load(x + row * columns + half + column, mask=inside, other=0)
                first = tl.reshape(first.to(tl.float32), (1, tile_groups, half))
                second = tl.reshape(second.to(tl.float32), (1, tile_groups, half))
                sums += (totals[part * rows + row] + first * low + second * high,)  # type: ignore[assignment]
        totals = sums
    for row in tl.static_range(rows):
        value = tl.sum(tl.reshape(totals[row], (tile_outputs, tile_bytes)), axis=1)
        if biased:
            value += tl.load(bias + output, mask=known, other=0).to(tl.float32)
        if parts == 2:
            up = tl.sum(tl.reshape(totals[rows + row], (tile_outputs, tile_bytes)), axis=1)
            value = value / (1 + tl.exp(-value)) * up
        tl.store(result + row * outputs + output, value.to(result.dtype.element_ty), mask=known)
