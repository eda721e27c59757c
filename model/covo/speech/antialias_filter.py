"""The low-pass filter around BigVGAN's activations, split into the phases of two-fold sampling."""

from __future__ import annotations

from dataclasses import dataclass
from math import pi

import torch
from torch import Tensor

TAPS = 12
_CUTOFF = 0.25
"""Of the oversampled rate: the signal's own Nyquist frequency."""
_TRANSITION = 0.3


@dataclass(frozen=True, slots=True)
class Phases:
    """``up`` (2, 1, 6): from six samples x[n-2] .. x[n+3] to the two at twice the rate between
    x[n] and x[n+1]; ``down`` (1, 2, 6): from six such pairs, n-3 to n+2, back to x[n]."""

    up: Tensor
    down: Tensor


def kaiser_sinc() -> Tensor:
    """Shape (12,), float64, sum 1. Half width and window by Kaiser's formulas for an attenuation
    of 51 dB, as in alias-free GAN filters."""
    attenuation = 2.285 * (TAPS // 2 - 1) * pi * 4 * _TRANSITION + 7.95
    beta = 0.1102 * (attenuation - 8.7)
    window = torch.kaiser_window(TAPS, periodic=False, beta=beta, dtype=torch.float64)
    time = torch.arange(TAPS, dtype=torch.float64) - (TAPS - 1) / 2
    taps = window * torch.sinc(2 * _CUTOFF * time)
    return taps / taps.sum()


def phase_filters(like: Tensor) -> Phases:
    """The phases with the device and dtype of ``like``."""
    taps = kaiser_sinc()
    even, odd = taps[0::2], taps[1::2]
    up = 2 * torch.stack((even.flip(0), odd.flip(0)))
    return Phases(up[:, None].to(like), torch.stack((even, odd))[None].to(like))
