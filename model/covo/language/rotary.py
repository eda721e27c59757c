"""Rotary position embedding in its half-split form: feature ``i`` turns with ``i + width / 2``."""

from __future__ import annotations

import torch
from torch import Tensor

Rotation = tuple[Tensor, Tensor]
"""Cosine and sine, each of shape (..., width); the sine's first half is negated."""


def rotation(angles: Tensor) -> Rotation:
    """Return the rotation by ``angles`` (..., width / 2)."""
    cosine, sine = angles.cos(), angles.sin()
    return torch.cat((cosine, cosine), dim=-1), torch.cat((-sine, sine), dim=-1)


def rotate(x: Tensor, by: Rotation) -> Tensor:
    """Rotate ``x`` (..., width), whole rows at once, because each operation costs a launch."""
    cosine, sine = by
    return torch.addcmul(x * cosine, x.roll(x.shape[-1] // 2, -1), sine)
