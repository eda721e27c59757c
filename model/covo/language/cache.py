"""The key-value cache: allocated once, for a fixed number of tokens.

How many rows are filled is not the cache's business but its owner's
(:mod:`model.covo.language.decoder`): rows behind the history are garbage that nobody attends to, so
going back costs nothing.
"""

from __future__ import annotations

import torch
from torch import Tensor

from model.covo.config.config import BackboneConfig
from model.covo.language.rotary import rotate, rotation


class KVCache:
    """Keys (rotated) and values of every layer for ``capacity`` tokens, on ``device``."""

    def __init__(
        self, config: BackboneConfig, capacity: int, device: torch.device, dtype: torch.dtype
    ) -> None:
        shape = (config.layers, 2, capacity, config.kv_heads, config.head_width)
        # Zeros, not whatever the memory held: a masked row still enters a product, and 0 x NaN
        # is NaN.
        self._rows = torch.zeros(shape, device=device, dtype=dtype)
        self._layers = [(layer[0], layer[1]) for layer in self._rows]

    @property
    def capacity(self) -> int:
        """Tokens that it can hold."""
        return int(self._rows.shape[2])

    def layer(self, index: int) -> tuple[Tensor, Tensor]:
        """Keys and values of layer ``index``, each (capacity, kv heads, head width), not copied."""
        return self._layers[index]

    def forget(self, start: int, count: int, length: int, frequencies: Tensor) -> None:
        """Remove ``count`` rows from row ``start`` on; those behind, up to ``length``, move up, and
        their keys are turned back by as many positions. ``frequencies``: RoPE's (width / 2,)."""
        back = rotation(-count * frequencies.float())
        behind, there = slice(start + count, length), slice(start, length - count)
        for keys, values in self._layers:
            keys[there] = rotate(keys[behind].float(), back).to(keys)
            values[there] = values[behind].clone()

    def copy_from(self, other: KVCache) -> None:
        """Take over the rows of a cache of the same size."""
        self._rows.copy_(other._rows)
