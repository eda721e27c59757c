"""The key-value cache: allocated once, for a fixed number of tokens.

The decoder (:mod:`model.covo.language.decoder`) tracks how many rows are filled. Rows after the
history are never attended to, so rewinding is free.
"""

from __future__ import annotations

import torch
from torch import Tensor

from model.covo.config.network_config import BackboneConfig
from model.covo.language.rotary import rotate, rotation


class KVCache:
    """Keys (rotated) and values of every layer, in ``rows`` (layers, 2, capacity, kv heads,
    width)."""

    def __init__(self, rows: Tensor) -> None:
        self._rows = rows
        self._layers = [(layer[0], layer[1]) for layer in rows]

    @classmethod
    def empty(
        cls, config: BackboneConfig, capacity: int, device: torch.device, dtype: torch.dtype
    ) -> KVCache:
        """Return a cache for ``capacity`` tokens on ``device``."""
        shape = (config.layers, 2, capacity, config.kv_heads, config.head_width)
        # Zeros, because a masked row still enters a product, and 0 x NaN is NaN.
        return cls(torch.zeros(shape, device=device, dtype=dtype))

    def split(self, parts: int) -> list[KVCache]:
        """Return ``parts`` caches of equal capacity in this one's memory, in its order."""
        return [KVCache(rows) for rows in self._rows.chunk(parts, dim=2)]

    @property
    def capacity(self) -> int:
        """Return the maximum number of tokens."""
        return int(self._rows.shape[2])

    def layer(self, index: int) -> tuple[Tensor, Tensor]:
        """Return views of layer ``index``'s keys and values, each (capacity, kv heads, width)."""
        return self._layers[index]

    def forget(self, start: int, count: int, length: int, frequencies: Tensor) -> None:
        """Remove ``count`` rows from row ``start`` on. Later rows, up to ``length``, move up and
        their keys are rotated back accordingly. ``frequencies``: RoPE's (width / 2,)."""
        back = rotation(-count * frequencies.float())
        behind, there = slice(start + count, length), slice(start, length - count)
        for keys, values in self._layers:
            keys[there] = rotate(keys[behind].float(), back).to(keys)
            values[there] = values[behind].clone()

    def copy_from(self, other: KVCache) -> None:
        """Copy the rows of ``other``, a cache of the same size."""
        self._rows.copy_(other._rows)
