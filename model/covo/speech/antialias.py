"""SnakeBeta between two-fold up- and downsampling, in pieces with carried state."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional

from model.covo.speech.stream import StreamPass

_WINDOW = 6
"""Steps that each of the two filters sees."""
_SAMPLES_OUTSIDE = 3
_PHASES_OUTSIDE = 2
"""Steps beyond each end of the signal that the filters see there."""


class SnakeBeta(nn.Module):
    """``x + sin(alpha * x)**2 * beta`` per channel. A checkpoint has the logarithms of alpha and
    of 1 / beta; they are folded when it is loaded."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.alpha = nn.Parameter(torch.ones(channels))
        self.beta = nn.Parameter(torch.ones(channels))

    def forward(self, x: Tensor) -> Tensor:
        """(batch, channels, 2, time) to the same."""
        alpha, beta = self.alpha[:, None, None], self.beta[:, None, None]
        return torch.addcmul(x, torch.sin(x * alpha).square_(), beta)


class AntiAliasedSnake(nn.Module):
    """The activation. Outside of the signal its first or last sample goes on, at both rates, as
    the network was trained; five samples of look-ahead."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.act = SnakeBeta(channels)

    def forward(self, x: Tensor, run: StreamPass) -> Tensor:
        """(batch, channels, time) to (batch, channels, what can be known)."""
        batch, channels = x.shape[:2]
        samples = _with_neighbours(x, run, (self, "samples"), _SAMPLES_OUTSIDE)
        if samples.shape[-1] < _WINDOW:
            return x[..., :0]
        phases = functional.conv1d(samples.reshape(batch * channels, 1, -1), run.filters.up)
        phases = self.act(phases.view(batch, channels, 2, -1))
        # At twice the rate the signal begins with a second phase and ends with a first one; what
        # is beside those two belongs to the outside.
        if (self, "phases") not in run.tails:
            phases[:, :, 0, 0] = phases[:, :, 1, 0]
        if run.last:
            phases[:, :, 1, -1] = phases[:, :, 0, -1]
        phases = _with_neighbours(phases, run, (self, "phases"), _PHASES_OUTSIDE)
        if phases.shape[-1] < _WINDOW:
            return x[..., :0]
        out = functional.conv1d(phases.reshape(batch * channels, 2, -1), run.filters.down)
        return out.view(batch, channels, -1)


def _with_neighbours(
    x: Tensor, run: StreamPass, key: tuple[nn.Module, str], outside: int
) -> Tensor:
    """``x`` (..., time) behind what was kept of its past, or at the start of the signal behind
    ``outside`` copies of its first step; at the end of the signal its last step goes on."""
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
