"""BigVGAN's activation: SnakeBeta between two-fold up- and downsampling, in a stream.

It runs as two interleaved phases, so the oversampled signal is never written out.
"""

from __future__ import annotations

from math import pi

import torch
from torch import Tensor, nn
from torch.nn import functional

from model.covo.speech.vocoder_stream import Phases, StreamPass

TAPS = 12
"""Taps of the low-pass filter, at the oversampled rate."""
_CUTOFF = 0.25
"""Cutoff as a share of the oversampled rate: the signal's own Nyquist frequency."""
_TRANSITION = 0.3
_WINDOW = TAPS // 2
"""Steps in the window of each of the two filters."""
_SAMPLES_OUTSIDE = 3
_PHASES_OUTSIDE = 2
"""Steps beyond each end of the signal that the filters see there."""


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

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.act = SnakeBeta(channels)

    def forward(self, x: Tensor, run: StreamPass) -> Tensor:
        """Map (batch, channels, time) to (batch, channels, what can be known)."""
        batch, channels = x.shape[:2]
        samples = _with_neighbours(x, run, (self, "samples"), _SAMPLES_OUTSIDE)
        if samples.shape[-1] < _WINDOW:
            return x[..., :0]
        phases = functional.conv1d(samples.reshape(batch * channels, 1, -1), run.filters.up)
        phases = self.act(phases.view(batch, channels, 2, -1))
        # At twice the rate the signal begins with a second phase and ends with a first one; their
        # partners lie outside.
        if (self, "phases") not in run.tails:
            phases[:, :, 0, 0] = phases[:, :, 1, 0]
        if run.last:
            phases[:, :, 1, -1] = phases[:, :, 0, -1]
        phases = _with_neighbours(phases, run, (self, "phases"), _PHASES_OUTSIDE)
        if phases.shape[-1] < _WINDOW:
            return x[..., :0]
        out = functional.conv1d(phases.reshape(batch * channels, 2, -1), run.filters.down)
        return out.view(batch, channels, -1)


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
    return Phases(up[:, None].to(like), torch.stack((even, odd))[None].to(like))


def _with_neighbours(
    x: Tensor, run: StreamPass, key: tuple[nn.Module, str], outside: int
) -> Tensor:
    """Put ``x`` (..., time) behind its kept past. At the start of the signal ``outside`` copies of
    its first step stand in for the past, at its end copies of the last for the future."""
    past = run.tails.get(key)
    if past is not None:
        x = torch.cat((past, x), dim=-1)
    elif x.shape[-1]:
        x = torch.cat((x[..., :1].expand(*x.shape[:-1], outside), x), dim=-1)
    else:
        return x
    run.keep(*key, x[..., 1 - _WINDOW :])
    if run.last:
        x = torch.cat((x, x[..., -1:].expand(*x.shape[:-1], outside)), dim=-1)
    return x
