"""Flow matching's small operations (:class:`model.covo.speech.flow_ops.FlowOps`) as Triton kernels;
GELU is part of the product before it.

Everything is computed in float32 and rounded at the end. Sizes that differ between chunks are not
specialised, because Triton would compile again in mid-talk.

Import this module only where Triton is installed (:func:`model.covo.config.device.triton_works`).
"""

from __future__ import annotations

import torch
import triton
import triton.language as tl
from torch import Tensor

from model.covo.language.rotary import Rotation
from model.covo.speech.flow_ops import EAGER, FlowOps

_EMBEDDED_ROWS = 128
_LEAST_DOT = 16
"""Triton's smallest matrix product."""


@triton.jit
def _norm_kernel(  # type: ignore[no-untyped-def]
    x, gate, change, scale, shift, total, normed, width, eps,
    adds: tl.constexpr, block: tl.constexpr,
):  # fmt: skip
    column = tl.arange(0, block)
    inside = column < width
    place = tl.program_id(0).to(tl.int64) * width + column
    row = tl.load(x + place, mask=inside, other=0.0).to(tl.float32)
    if adds:
        by = tl.load(gate + column, mask=inside, other=0.0).to(tl.float32)
        row += by * tl.load(change + place, mask=inside, other=0.0).to(tl.float32)
        tl.store(total + place, row.to(total.dtype.element_ty), mask=inside)
    mean = tl.sum(row, axis=0) / width
    centred = tl.where(inside, row - mean, 0.0)
    deviation = tl.sqrt(tl.sum(centred * centred, axis=0) / width + eps)
    factor = tl.load(scale + column, mask=inside, other=0.0).to(tl.float32)
    offset = tl.load(shift + column, mask=inside, other=0.0).to(tl.float32)
    moved = centred / deviation * factor + offset
    tl.store(normed + place, moved.to(normed.dtype.element_ty), mask=inside)


@triton.jit(do_not_specialize=["time"])
def _rotate_kernel(  # type: ignore[no-untyped-def]
    projected, cosine, sine, time,
    heads: tl.constexpr, half: tl.constexpr, head_block: tl.constexpr, half_block: tl.constexpr,
):  # fmt: skip
    # One program for each row: its queries and keys, in place.
    at, batch = tl.program_id(0).to(tl.int64), tl.program_id(1).to(tl.int64)
    head, place = tl.arange(0, head_block)[:, None], tl.arange(0, half_block)[None, :]
    inside = (head < 2 * heads) & (place < half)
    first = projected + (batch * time + at) * (6 * heads * half) + head * (2 * half) + place
    # The sine's first half is negated.
    angle = at * (2 * half) + place
    cos = tl.load(cosine + angle, mask=place < half, other=0.0).to(tl.float32)
    sin = tl.load(sine + angle + half, mask=place < half, other=0.0).to(tl.float32)
    x = tl.load(first, mask=inside, other=0.0).to(tl.float32)
    y = tl.load(first + half, mask=inside, other=0.0).to(tl.float32)
    kind = projected.dtype.element_ty
    tl.store(first, (x * cos - y * sin).to(kind), mask=inside)
    tl.store(first + half, (y * cos + x * sin).to(kind), mask=inside)


@triton.jit(do_not_specialize=["time"])
def _embed_kernel(  # type: ignore[no-untyped-def]
    x, taps, bias, embedded, time, hidden,
    reach: tl.constexpr, width: tl.constexpr, rows: tl.constexpr, block: tl.constexpr,
    precision: tl.constexpr,
):  # fmt: skip
    # One program for some rows of a group: a product of ``width`` by ``width`` for each tap.
    row = tl.program_id(0) * rows + tl.arange(0, rows)
    group, batch = tl.program_id(1), tl.program_id(2).to(tl.int64)
    place = tl.arange(0, block)
    inside = place < width
    channel = group * width + place
    source = x + batch * time * hidden + channel[None, :]
    weights = taps + group * (reach * width * width) + place[:, None] * width + place[None, :]
    both = inside[:, None] & inside[None, :]
    total = tl.zeros((rows, block), tl.float32)
    for tap in range(reach):
        at = row + (tap - reach // 2)
        there = ((at >= 0) & (at < time))[:, None] & inside[None, :]
        seen = tl.load(source + at[:, None] * hidden, mask=there, other=0.0)
        weight = tl.load(weights + tap * (width * width), mask=both, other=0.0)
        total = tl.dot(seen, weight, total, input_precision=precision)
    total += tl.load(bias + channel, mask=inside, other=0.0).to(tl.float32)[None, :]
    out = 0.5 * total * (1.0 + tl.erf(total * 0.7071067811865476))
    there = (row < time)[:, None] & inside[None, :]
    target = embedded + batch * time * hidden + channel[None, :] + row[:, None] * hidden
    tl.store(target, out.to(embedded.dtype.element_ty), mask=there)


def _norm(x: Tensor, scale: Tensor, shift: Tensor, eps: float) -> Tensor:
    return _launch_norm(x, None, None, scale, shift, eps)[1]


def _add_and_norm(
    x: Tensor, gate: Tensor, change: Tensor, scale: Tensor, shift: Tensor, eps: float
) -> tuple[Tensor, Tensor]:
    return _launch_norm(x, gate, change, scale, shift, eps)


def _launch_norm(
    x: Tensor,
    gate: Tensor | None,
    change: Tensor | None,
    scale: Tensor,
    shift: Tensor,
    eps: float,
) -> tuple[Tensor, Tensor]:
    width = x.shape[-1]
    normed = torch.empty_like(x)
    adds = change is not None
    total = torch.empty_like(x) if adds else x
    with torch.cuda.device_of(x):
        _norm_kernel[(x.numel() // width,)](
            x, gate if adds else x, change if adds else x, scale, shift, total, normed,
            width, eps, adds=adds, block=triton.next_power_of_2(width), num_warps=4,
        )  # fmt: skip
    return total, normed


def _rotate(projected: Tensor, positions: Rotation, heads: int) -> tuple[Tensor, Tensor, Tensor]:
    batch, time, width = projected.shape
    half = width // (6 * heads)
    with torch.cuda.device_of(projected):
        _rotate_kernel[(time, batch)](
            projected, *positions, time, heads=heads, half=half,
            head_block=triton.next_power_of_2(2 * heads),
            half_block=triton.next_power_of_2(half), num_warps=4,
        )  # fmt: skip
    query, key, value = projected.unflatten(-1, (3, heads, -1)).transpose(1, 3).unbind(2)
    return query, key, value


def _widen(x: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
    if x.device.type == "cpu":  # the interpreter; torch's fused GELU has another form there
        return EAGER.widen(x, weight, bias)
    rows: Tensor = torch._addmm_activation(bias, x.flatten(0, -2), weight.t(), use_gelu=True)
    return rows.view(*x.shape[:-1], -1)


def _lay_out(weight: Tensor) -> Tensor:
    """Return (groups, kernel, inputs, outputs), so that a tap's inputs and outputs are a matrix."""
    width = weight.shape[1]
    by_group: Tensor = weight.unflatten(0, (-1, width))
    return by_group.permute(0, 3, 2, 1).contiguous()


def _embed(x: Tensor, taps: Tensor, bias: Tensor) -> Tensor:
    batch, time, hidden = x.shape
    groups, reach, width, _ = taps.shape
    embedded = torch.empty_like(x)
    with torch.cuda.device_of(x):
        _embed_kernel[(triton.cdiv(time, _EMBEDDED_ROWS), groups, batch)](
            x, taps, bias, embedded, time, hidden, reach=reach, width=width,
            rows=_EMBEDDED_ROWS, block=max(_LEAST_DOT, triton.next_power_of_2(width)),
            precision="ieee" if x.dtype is torch.float32 else "tf32", num_warps=4,
        )  # fmt: skip
    return embedded


FUSED = FlowOps(_norm, _add_and_norm, _rotate, _widen, _lay_out, _embed)
