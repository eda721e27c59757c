"""A layer's operations (:class:`model.covo.language.layer_ops.LayerOps`) as Triton kernels.

Everything is computed in float32 and rounded where torch's operations round. Nothing depends on the
host: positions are read on the device, so that a CUDA graph stays valid, and no size that varies
between calls is an argument, because Triton would compile again for some of its values.

Import this module only where Triton is installed (:func:`model.covo.config.device.triton_works`).
"""

from __future__ import annotations

import torch
import triton
import triton.language as tl
from torch import Tensor

from model.covo.language.layer_ops import LayerOps
from model.covo.language.rotary import Rotation

_GATE_BLOCK = 512


@triton.jit
def _add_norm_kernel(  # type: ignore[no-untyped-def]
    rows, more, weight, total, normed, rows_stride, more_stride, width, eps,
    adds: tl.constexpr, block: tl.constexpr,
):  # fmt: skip
    row = tl.program_id(0).to(tl.int64)
    column = tl.arange(0, block)
    inside = column < width
    x = tl.load(rows + row * rows_stride + column, mask=inside, other=0.0).to(tl.float32)
    if adds:
        x += tl.load(more + row * more_stride + column, mask=inside, other=0.0).to(tl.float32)
        held = x.to(total.dtype.element_ty)
        tl.store(total + row * width + column, held, mask=inside)
        x = held.to(tl.float32)
    scale = tl.rsqrt(tl.sum(x * x, axis=0) / width + eps)
    by = tl.load(weight + column, mask=inside, other=0.0).to(tl.float32)
    y = (x * scale * by).to(normed.dtype.element_ty)
    tl.store(normed + row * width + column, y, mask=inside)


@triton.jit
def _rotate_and_store_kernel(  # type: ignore[no-untyped-def]
    projected, cosine, sine, positions, query, keys, values,
    projected_stride, key_stride, key_head_stride, value_stride, value_head_stride,
    heads: tl.constexpr, shared: tl.constexpr, half: tl.constexpr, block: tl.constexpr,
):  # fmt: skip
    # One program for each head of a row: first the queries', then the keys', then the values'.
    row, head = tl.program_id(0).to(tl.int64), tl.program_id(1)
    place = tl.arange(0, block)
    inside = place < half
    source = projected + row * projected_stride + head * (2 * half) + place
    first = tl.load(source, mask=inside, other=0.0)
    second = tl.load(source + half, mask=inside, other=0.0)
    kind = first.dtype
    angle = row * (2 * half) + place
    if head < heads + shared:
        cos = tl.load(cosine + angle, mask=inside, other=0.0).to(tl.float32)
        # The sine's first half is negated.
        sin = tl.load(sine + angle + half, mask=inside, other=0.0).to(tl.float32)
        x, y = first.to(tl.float32), second.to(tl.float32)
        first = ((x * cos).to(kind).to(tl.float32) - y * sin).to(kind)
        second = ((y * cos).to(kind).to(tl.float32) + x * sin).to(kind)
    position = tl.load(positions + row)
    if head < heads:
        target = query + (row * heads + head) * (2 * half) + place
        tl.store(target, first, mask=inside)
        tl.store(target + half, second, mask=inside)
    elif head < heads + shared:
        target = keys + position * key_stride + (head - heads) * key_head_stride + place
        tl.store(target, first, mask=inside)
        tl.store(target + half, second, mask=inside)
    else:
        target = values + position * value_stride + place
        target += (head - heads - shared) * value_head_stride
        tl.store(target, first, mask=inside)
        tl.store(target + half, second, mask=inside)


@triton.jit
def _gate_kernel(gate_up, gated, stride, width, block: tl.constexpr):  # type: ignore[no-untyped-def]
    row = tl.program_id(0).to(tl.int64)
    column = tl.program_id(1) * block + tl.arange(0, block)
    inside = column < width
    source = gate_up + row * stride + column
    gate = tl.load(source, mask=inside, other=0.0).to(tl.float32)
    up = tl.load(source + width, mask=inside, other=0.0).to(tl.float32)
    kind = gated.dtype.element_ty
    opened = (gate / (1.0 + tl.exp(-gate))).to(kind).to(tl.float32)
    tl.store(gated + row * width + column, (opened * up).to(kind), mask=inside)


def _add_norm(
    rows: Tensor, more: Tensor | None, weight: Tensor, eps: float
) -> tuple[Tensor, Tensor]:
    count, width = rows.shape
    normed = rows.new_empty(count, width)
    total = rows if more is None else torch.empty_like(normed)
    added = rows if more is None else more
    with torch.cuda.device_of(rows):
        _add_norm_kernel[(count,)](
            rows, added, weight, total, normed, rows.stride(0), added.stride(0), width, eps,
            adds=more is not None, block=triton.next_power_of_2(width), num_warps=8,
        )  # fmt: skip
    return total, normed


def _rotate_and_store(
    projected: Tensor, rotation: Rotation, positions: Tensor, keys: Tensor, values: Tensor
) -> Tensor:
    cosine, sine = rotation
    _, shared, width = keys.shape
    every = projected.shape[1] // width
    heads = every - 2 * shared
    query = projected.new_empty(len(projected), heads, width)
    with torch.cuda.device_of(projected):
        _rotate_and_store_kernel[(len(projected), every)](
            projected, cosine, sine, positions, query, keys, values,
            projected.stride(0), *keys.stride()[:2], *values.stride()[:2],
            heads=heads, shared=shared, half=width // 2,
            block=triton.next_power_of_2(width // 2), num_warps=1,
        )  # fmt: skip
    return query


def _gate(gate_up: Tensor) -> Tensor:
    count, both = gate_up.shape
    width = both // 2
    gated = gate_up.new_empty(count, width)
    with torch.cuda.device_of(gate_up):
        _gate_kernel[(count, triton.cdiv(width, _GATE_BLOCK))](
            gate_up, gated, gate_up.stride(0), width, block=_GATE_BLOCK, num_warps=4
        )
    return gated


FUSED = LayerOps(_add_norm, _rotate_and_store, _gate)
