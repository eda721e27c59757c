"""The anti-aliased activation (:mod:`model.covo.speech.antialias`) as one Triton kernel, which also
joins its input and the convolution's behind it with their pasts, and keeps those of the next chunk.

Everything is computed in float32. Sizes are not specialised, because Triton would compile again for
some of their values. Import this module only where Triton is installed
(:func:`model.covo.config.device.triton_works`).
"""

from __future__ import annotations

import torch
import triton
import triton.language as tl
from torch import Tensor

from model.covo.speech.vocoder_stream import PastSlot, StreamPass

_LANES = 128
_GROUP = 4
"""Neighbouring outputs of a lane, which share most of what they are made from."""

_SIZES = [
    "batch_stride", "row_stride", "state", "channels", "known", "time", "done", "kept_end",
    "reach", "out_kept_end", "length", "start", "out_start", "rate",
]  # fmt: skip


@triton.jit
def _joined(past, row, at, known, held: tl.constexpr):  # type: ignore[no-untyped-def]
    """Return sample ``at`` of the past's ``known`` samples and the row behind them."""
    old = tl.load(past + held - known + at, mask=at < known, other=0.0).to(tl.float32)
    new = tl.load(row + at - known, mask=at >= known, other=0.0).to(tl.float32)
    return tl.where(at < known, old, new)


@triton.jit(do_not_specialize=_SIZES, do_not_specialize_on_alignment=["x"])
def _activate_kernel(  # type: ignore[no-untyped-def]
    x, tails, kept, out, alphas, betas, taps, missing,
    batch_stride, row_stride, state, channels, known, time, done, kept_end,
    reach, out_kept_end, length, start, out_start, rate,
    window: tl.constexpr, held: tl.constexpr, held_block: tl.constexpr,
    lanes: tl.constexpr, group: tl.constexpr,
):  # fmt: skip
    block, place = tl.program_id(0), tl.program_id(1)
    batch, channel = place // channels, place % channels
    row = x + batch.to(tl.int64) * batch_stride + channel.to(tl.int64) * row_stride
    slot = batch.to(tl.int64) * state + start + channel * held
    out_slot = batch.to(tl.int64) * state + out_start + channel * reach
    past = tails + slot
    # The signal ends where the padding begins.
    end = known + time - rate * tl.load(missing)
    alpha = tl.load(alphas + channel).to(tl.float32)
    beta = tl.load(betas + channel).to(tl.float32)

    lane, member = tl.arange(0, lanes), tl.arange(0, group)
    first = (block * lanes + lane) * group
    # Output n is made from samples 2 n - 5 to 2 n + 6 of the signal at twice the rate.
    begin = 2 * (first - reach + done) - (window - 1)
    total = tl.zeros([lanes, group], dtype=tl.float32)
    for step in range(2 * window + 2 * (group - 1)):
        # It continues with its first or last sample, as the signal does.
        doubled = tl.minimum(tl.maximum(begin + step, 0), 2 * end - 1)
        pair, phase = (doubled + 1) // 2, (doubled + 1) % 2
        value = tl.zeros([lanes], dtype=tl.float32)
        for tap in tl.static_range(window):
            at = tl.minimum(tl.maximum(pair + (tap - window // 2), 0), end - 1)
            by = 2.0 * tl.load(taps + phase + 2 * (window - 1 - tap))
            value += by * _joined(past, row, at, known, held)
        wave = tl.sin(value * alpha)
        value += wave * wave * beta
        tap_of = step - 2 * member
        inside = (tap_of >= 0) & (tap_of < 2 * window)
        down = tl.load(taps + tap_of, mask=inside, other=0.0)
        total += value[:, None] * down[None, :]

    index = first[:, None] + member[None, :]
    before = tl.load(tails + out_slot + index, mask=index < reach, other=0.0).to(tl.float32)
    total = tl.where(index < reach, before, total)
    tl.store(out + place.to(tl.int64) * length + index, total, mask=index < length)
    keep = index - (out_kept_end - reach)
    tl.store(kept + out_slot + keep, total, mask=(keep >= 0) & (keep < reach))
    if block == 0:
        number = tl.arange(0, held_block)
        at = kept_end - held + number
        sample = _joined(past, row, at, known, held)
        tl.store(kept + slot + number, sample, mask=(number < held) & (at >= 0))


def activate(
    x: Tensor, alpha: Tensor, beta: Tensor, slot: PastSlot, after: PastSlot, run: StreamPass
) -> Tensor:
    """Return the joined input (batch, channels, time) of the convolution with the slot ``after``,
    from the activation's input (batch, channels, time)."""
    batch, channels, time = x.shape
    if x.stride(-1) != 1:
        x = x.contiguous()
    ahead = slot.width // 2
    known, reach = slot.filled(run.received), after.width
    done = max(0, known - ahead)
    length = reach + known + time - done
    out = x.new_empty(batch, channels, length)
    grid = (triton.cdiv(length, _LANES * _GROUP), batch * channels)
    with torch.cuda.device_of(x):
        _activate_kernel[grid](
            x, run.tails, run.kept, out, alpha, beta, run.filters.taps, run.missing,
            x.stride(0), x.stride(1), run.tails.stride(0), channels, known, time, done,
            run.exact_end(slot), reach, run.exact_end(after), length, slot.start, after.start,
            slot.rate,
            window=ahead + 1, held=slot.width, held_block=triton.next_power_of_2(slot.width),
            lanes=_LANES, group=_GROUP, num_warps=4,
        )  # fmt: skip
    return out
