"""The state of a vocoder stream, and one pass of a chunk through the layers.

A pass computes a chunk as if the signal ended with it. What no later latent can change is exact;
each layer keeps its past up to there, so the next chunk makes the rest again.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import torch
from torch import Tensor


@dataclass(frozen=True, slots=True)
class PastSlot:
    """Where a layer keeps the last ``width`` exact steps of its input: in ``channels * width``
    numbers of the state from ``start`` on.

    ``rate``: the input's steps per latent; ``lag``: how many of its last steps are not exact yet;
    ``zeros``: how many zeros precede the signal.
    """

    start: int
    channels: int
    width: int
    rate: int
    lag: int
    zeros: int

    @property
    def end(self) -> int:
        """Return where the next slot starts."""
        return self.start + self.channels * self.width

    @property
    def settled(self) -> int:
        """Return the latents after which the slot is full."""
        return -(-(self.width - self.zeros + self.lag) // self.rate)

    def exact(self, latents: int) -> int:
        """Return the input's exact steps after ``latents``."""
        return max(0, latents * self.rate - self.lag)

    def filled(self, latents: int) -> int:
        """Return the steps that are kept after ``latents``."""
        return min(self.width, self.zeros + self.exact(latents))


class SlotPlan:
    """Hands out the slots of a vocoder's layers, in the order of the signal."""

    def __init__(self) -> None:
        self.rate, self.lag = 1, 0
        self.size, self.settled = 0, 0

    def slot(self, channels: int, width: int, *, zeros: int = 0, ahead: int = 0) -> PastSlot:
        """Return the slot of a layer that sees ``ahead`` steps of its future."""
        slot = PastSlot(self.size, channels, width, self.rate, self.lag, zeros)
        self.size, self.settled = slot.end, max(self.settled, slot.settled)
        self.lag += ahead
        return slot

    def upsample(self, rate: int) -> None:
        """Let the next layers have ``rate`` times as many steps."""
        self.rate, self.lag = self.rate * rate, self.lag * rate


@dataclass(frozen=True, slots=True)
class Phases:
    """The anti-aliasing filters. ``up`` (2, 1, 6): from six samples x[n-3] .. x[n+2] to the two at
    twice the rate between x[n-1] and x[n]; ``down`` (1, 2, 6): from six such pairs, n-2 to n+3,
    back to x[n]. ``taps`` (12,), float32: both filters."""

    up: Tensor
    down: Tensor
    taps: Tensor


@dataclass(frozen=True, slots=True)
class VocoderStream:
    """State of a stream; keep one to go back to it. Only for the vocoder that made it.

    ``tails`` (batch, size): the layers' pasts, never written to; ``received``: latents so far;
    ``given``: samples returned; ``ended``: whether the last chunk was given.
    """

    tails: Tensor = field(repr=False)
    received: int = 0
    given: int = 0
    ended: bool = False


@dataclass(frozen=True, slots=True)
class StreamPass:
    """One chunk of ``latents`` latents on its way through the layers, after ``received`` others.

    ``missing``: how many latents at its end are padding, on the device; None for none. ``tails``
    (batch, size): the state before the chunk; ``kept``: the one after it, written by the layers.
    ``fused``: whether activations run as Triton kernels; ``missing`` is then needed.
    ``tf32``: whether convolutions round to TF32.
    """

    filters: Phases
    received: int
    latents: int
    missing: Tensor | None
    tails: Tensor
    kept: Tensor
    fused: bool
    tf32: bool

    @property
    def total(self) -> int:
        """Return the latents with this chunk's."""
        return self.received + self.latents

    def past(self, slot: PastSlot) -> Tensor:
        """Return what is kept in ``slot`` (batch, channels, up to ``slot.width``)."""
        return _view(self.tails, slot)[..., slot.width - slot.filled(self.received) :]

    def join(self, slot: PastSlot, x: Tensor) -> Tensor:
        """Put ``x`` (batch, channels, time) behind its past, and keep that of the next chunk."""
        joined = torch.cat((self.past(slot), x), dim=-1)
        width = slot.filled(self.total)
        end = self.exact_end(slot)
        _view(self.kept, slot)[..., slot.width - width :] = joined[..., end - width : end]
        return joined

    def exact_end(self, slot: PastSlot) -> int:
        """Return where the exact part of a joined input ends."""
        before, now = slot.exact(self.received), slot.exact(self.total)
        return slot.filled(self.received) + now - before


def _view(state: Tensor, slot: PastSlot) -> Tensor:
    return state[:, slot.start : slot.end].view(len(state), slot.channels, slot.width)
