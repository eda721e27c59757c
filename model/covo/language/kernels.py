"""A layer's operations (:class:`model.covo.language.layer_ops.LayerOps`), and the attention of a
decode step, as Triton kernels.

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
_KEYS = 64
"""Keys to which a program of attention attends at once."""
_MOST_PARTS = 32
"""Parts of the cache; with four key heads they fill the largest GPUs."""
_LEAST_QUERIES = 16
"""Queries that a matrix product takes at least."""


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


@triton.jit
def _attend_kernel(  # type: ignore[no-untyped-def]
    query, keys, values, positions, mixed, highest, total,
    query_stride, query_head_stride, key_stride, key_head_stride, value_stride, value_head_stride,
    by_width, parts: tl.constexpr, each: tl.constexpr, block: tl.constexpr, heads: tl.constexpr,
    group: tl.constexpr, queries: tl.constexpr, width: tl.constexpr, wide: tl.constexpr,
):  # fmt: skip
    # A few rows keep a GPU busy only if the cache is split over it: one program for each part of
    # the cache, key head and row, with all query heads that share the key head.
    part, shared, row = tl.program_id(0), tl.program_id(1), tl.program_id(2)
    used = tl.load(positions + row) + 1
    member, place, key = tl.arange(0, queries), tl.arange(0, wide), tl.arange(0, block)
    head = shared * group + member
    ours, inside = member < group, place < width
    kept = ours[:, None] & inside[None, :]
    source = query + row * query_stride + head[:, None] * query_head_stride + place[None, :]
    asked = tl.load(source, mask=kept, other=0.0)
    top = tl.full((queries,), float("-inf"), tl.float32)
    weight = tl.zeros((queries,), tl.float32)
    result = tl.zeros((queries, wide), tl.float32)
    for step in range(each):
        at = (part * each + step) * block + key
        seen = at < used
        where = keys + at[None, :] * key_stride + shared * key_head_stride + place[:, None]
        held = tl.load(where, mask=inside[:, None] & seen[None, :], other=0.0)
        scores = tl.dot(asked, held) * by_width
        scores = tl.where(seen[None, :], scores, float("-inf"))
        higher = tl.maximum(top, tl.max(scores, axis=1))
        # Behind the history there are no keys: -inf - -inf would not be a number.
        base = tl.where(higher == float("-inf"), 0.0, higher)
        fade = tl.exp(top - base)
        share = tl.exp(scores - base[:, None])
        weight = weight * fade + tl.sum(share, axis=1)
        where = values + at[:, None] * value_stride + shared * value_head_stride + place[None, :]
        held = tl.load(where, mask=seen[:, None] & inside[None, :], other=0.0)
        result = result * fade[:, None] + tl.dot(share.to(held.dtype), held)
        top = higher
    slot = (row * heads + head) * parts + part
    tl.store(highest + slot, top, mask=ours)
    tl.store(total + slot, weight, mask=ours)
    tl.store(mixed + slot[:, None] * width + place[None, :], result, mask=kept)


@triton.jit
def _join_kernel(  # type: ignore[no-untyped-def]
    mixed, highest, total, out,
    parts: tl.constexpr, most: tl.constexpr, width: tl.constexpr, wide: tl.constexpr,
):  # fmt: skip
    # One program for each row and query head.
    which = tl.program_id(0)
    part, place = tl.arange(0, most), tl.arange(0, wide)
    there, inside = part < parts, place < width
    slot = which * parts + part
    top = tl.load(highest + slot, mask=there, other=float("-inf"))
    share = tl.exp(top - tl.max(top, axis=0))
    weight = tl.sum(share * tl.load(total + slot, mask=there, other=0.0), axis=0)
    source = mixed + slot[:, None] * width + place[None, :]
    each = tl.load(source, mask=there[:, None] & inside[None, :], other=0.0)
    joined = tl.sum(each * share[:, None], axis=0) / weight
    tl.store(out + which * width + place, joined.to(out.dtype.element_ty), mask=inside)


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


def attend_step(
    query: Tensor, keys: Tensor, values: Tensor, positions: Tensor, attended: int
) -> Tensor:
    """Return the attention (n, heads, width) of the rows ``query`` at ``positions``, int64 (n,),
    each to those of the first ``attended`` rows of ``keys`` and ``values`` that are not behind it.

    FlashAttention splits the cache in the same way, with three copies around it.
    """
    rows, heads, width = query.shape
    shared = keys.shape[1]
    blocks = triton.cdiv(attended, _KEYS)
    each = triton.cdiv(blocks, _MOST_PARTS)
    parts = triton.cdiv(blocks, each)
    mixed = query.new_empty(rows, heads, parts, width, dtype=torch.float32)
    scale = query.new_empty(2, rows, heads, parts, dtype=torch.float32)
    out = query.new_empty(rows, heads, width)
    group, wide = heads // shared, triton.next_power_of_2(width)
    with torch.cuda.device_of(query):
        _attend_kernel[(parts, shared, rows)](
            query, keys, values, positions, mixed, scale[0], scale[1],
            *query.stride()[:2], *keys.stride()[:2], *values.stride()[:2], width**-0.5,
            parts=parts, each=each, block=_KEYS, heads=heads, group=group,
            queries=max(_LEAST_QUERIES, triton.next_power_of_2(group)), width=width, wide=wide,
            num_warps=4,
        )  # fmt: skip
        _join_kernel[(rows * heads,)](
            mixed, scale[0], scale[1], out,
            parts=parts, most=triton.next_power_of_2(parts), width=width, wide=wide, num_warps=4,
        )  # fmt: skip
    return out


FUSED = LayerOps(_add_norm, _rotate_and_store, _gate)
