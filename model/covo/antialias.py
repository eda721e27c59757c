"""SnakeBeta between two-fold up- and downsampling, in pieces with carried state."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional

from model.covo.stream import StreamPass

_SIDE = 3
"""Neighbours on each side that each of the two filters needs."""


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
        samples = self._with_neighbours(x[:, :, None], "samples", run)
        if samples.shape[-1] <= 2 * _SIDE:
            return x[..., :0]
        phases = functional.conv1d(samples.reshape(batch * channels, 1, -1), run.filters.up)
        phases = self.act(phases.view(batch, channels, 2, -1))
        phases = self._with_neighbours(phases, "phases", run)
        if phases.shape[-1] <= 2 * _SIDE:
            return x[..., :0]
        out = functional.conv1d(phases.reshape(batch * channels, 2, -1), run.filters.down)
        return out.view(batch, channels, -1)

    def _with_neighbours(self, x: Tensor, name: str, run: StreamPass) -> Tensor:
        """``x`` (batch, channels, phases, time) behind its past, and, once it is the last, with
        its end going on. In time the first phase of a step comes first."""
        past = run.tails.get((self, name))
        if past is not None:
            x = torch.cat((past, x), dim=-1)
        elif x.shape[-1]:
            x = torch.cat((x[:, :, :1, :1].expand(*x.shape[:-1], _SIDE), x), dim=-1)
        else:
            return x
        run.keep(self, name, x[..., -2 * _SIDE :])
        if run.last:
            x = torch.cat((x, x[:, :, -1:, -1:].expand(*x.shape[:-1], _SIDE)), dim=-1)
        return x
