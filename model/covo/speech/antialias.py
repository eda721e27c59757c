"""BigVGAN's activation: SnakeBeta between two-fold up- and downsampling, in a stream.

It runs as two interleaved phases, so the oversampled signal is never written out.
"""

from __future__ import annotations

from math import pi

import torch
from torch import Tensor, nn
from torch.nn import functional

from model.covo.speech.vocoder_stream import PastSlot, Phases, SlotPlan, StreamPass

TAPS = 12
"""Taps of the low-pass filter, at the oversampled rate."""
_CUTOFF = 0.25
"""Cutoff as a share of the oversampled rate: the signal's own Nyquist frequency."""
_TRANSITION = 0.3
_WINDOW = TAPS // 2
"""Steps in the window of each of the two filters."""
AHEAD = _WINDOW - 1
"""Samples of its future, and of its past, that an output depends on."""


class SnakeBeta(nn.Module):
    """``x + sin(alpha * x)**2 * beta`` per channel. Checkpoints hold the logarithms of alpha and
    1 / beta; loading folds them."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.alpha = nn.Parameter(torch.ones(channels))
        self.beta = nn.Parameter(torch.ones(channels))

    def forward(self, x: Tensor) -> Tensor:
        """Map (batch, channels, 2, time) to the same."""
        alpha, beta = self.alpha[:, None, None], self.beta[:, None, None]
        return torch.addcmul(x, torch.sin(x * alpha).square_(), beta)


class AntiAliasedSnake(nn.Module):
    """The activation, with five samples of look-ahead. Beyond its ends the signal continues with
    its first or last sample, at both rates, as the network was trained."""

    def __init__(self, channels: int, plan: SlotPlan) -> None:
        super().__init__()
        self.act = SnakeBeta(channels)
        self.slot = plan.slot(channels, 2 * AHEAD, ahead=AHEAD)

    def fused(self, x: Tensor, run: StreamPass, after: PastSlot) -> Tensor:
        """Map (batch, channels, time) to the joined input of the convolution with the slot
        ``after``."""
        from model.covo.speech.snake_kernel import activate

        return activate(x, self.act.alpha, self.act.beta, self.slot, after, run)

    def forward(self, x: Tensor, run: StreamPass) -> Tensor:
        """Map (batch, channels, time) to (batch, channels, what was not exact yet and more)."""
        done = max(0, self.slot.filled(run.received) - AHEAD)
        missing = None if run.missing is None else run.missing * self.slot.rate
        return self._activate(run.join(self.slot, x), run.filters, missing)[..., done:]

    def _activate(self, x: Tensor, filters: Phases, missing: Tensor | None) -> Tensor:
        """Map a whole signal (batch, channels, time), whose last ``missing`` samples are padding,
        to the same."""
        batch, channels, time = x.shape
        if missing is not None:
            x = x.index_select(-1, _steps(x).minimum(time - 1 - missing))
        x = functional.pad(x, (_WINDOW // 2, _WINDOW // 2), mode="replicate")
        phases = functional.conv1d(x.view(batch * channels, 1, -1), filters.up)
        phases = self.act(phases.view(batch, channels, 2, -1))
        # At twice the rate the signal begins with a second phase and ends with a first one; their
        # partners lie outside.
        phases[:, :, 0, 0] = phases[:, :, 1, 0]
        if missing is None:
            phases[:, :, 1, -1] = phases[:, :, 0, -1]
        else:
            pair, end = _steps(phases), time - missing
            second = torch.where(pair < end, pair + time + 1, end)
            phases = phases.flatten(2).index_select(-1, torch.cat((pair.minimum(end), second)))
        phases = phases.view(batch * channels, 2, -1)
        phases = functional.pad(phases, (AHEAD // 2, AHEAD // 2), mode="replicate")
        return functional.conv1d(phases, filters.down).view(batch, channels, time)


def kaiser_sinc() -> Tensor:
    """Return the low-pass filter, (12,), float64, sum 1. Half width and window follow Kaiser's
    formulas for an attenuation of 51 dB, as in alias-free GAN filters."""
    attenuation = 2.285 * (TAPS // 2 - 1) * pi * 4 * _TRANSITION + 7.95
    beta = 0.1102 * (attenuation - 8.7)
    window = torch.kaiser_window(TAPS, periodic=False, beta=beta, dtype=torch.float64)
    time = torch.arange(TAPS, dtype=torch.float64) - (TAPS - 1) / 2
    taps = window * torch.sinc(2 * _CUTOFF * time)
    return taps / taps.sum()


def phase_filters(like: Tensor) -> Phases:
    """Return the filter's phases with the device and dtype of ``like``."""
    taps = kaiser_sinc()
    even, odd = taps[0::2], taps[1::2]
    up = 2 * torch.stack((even.flip(0), odd.flip(0)))
    return Phases(
        up[:, None].to(like),
        torch.stack((even, odd))[None].to(like),
        taps.float().to(like.device),  # in this order: MPS has no float64
    )


def _steps(x: Tensor) -> Tensor:
    return torch.arange(x.shape[-1], device=x.device)
