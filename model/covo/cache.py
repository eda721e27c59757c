"""The key-value cache: allocated once, for a fixed number of tokens.

How many rows are filled is not the cache's business but its owner's (:mod:`model.covo.decoder`):
rows behind the history are garbage that nobody attends to, so going back costs nothing.
"""

from __future__ import annotations

import torch
from torch import Tensor

from model.covo.config import BackboneConfig


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
