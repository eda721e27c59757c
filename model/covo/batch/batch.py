"""Several decoders of one network that take a step in one pass of it.

Their histories lie one behind the other in one cache, each with its own length. A pass takes any
rows of any of them. Each row is written to its own history and attends to nothing else, so a
decoder's logits do not depend on who shares the pass, but for the rounding of a product with more
rows.

On CUDA a pass is not a graph: its kernels are launched one by one. A decoder that is appended to by
itself has its graphs as ever.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn.functional import scaled_dot_product_attention

from model.covo.language.attention import flash_attention, flash_available
from model.covo.language.backbone import run_backbone
from model.covo.language.cache import KVCache
from model.covo.language.decoder import Decoder
from model.covo.language.network import CovoNetwork
from model.covo.products.linear import multiply


class StreamRows(NamedTuple):
    """``rows`` (n, hidden) to append to the history of the decoder ``stream``."""

    stream: int
    rows: Tensor


class DecoderBatch:
    """The ``decoders`` of ``streams`` histories of up to ``capacity`` tokens each.

    ``graph``, ``step_rows``: of each decoder. For one thread at a time.
    """

    def __init__(
        self,
        network: CovoNetwork,
        streams: int,
        capacity: int,
        *,
        graph: bool = True,
        step_rows: int = 1,
    ) -> None:
        self._network = network
        self._capacity = capacity
        config = network.config.backbone
        with torch.inference_mode():
            whole = streams * capacity
            self._cache = KVCache.empty(config, whole, network.device, network.dtype)
            self.decoders = tuple(
                Decoder(network, capacity, graph=graph, step_rows=step_rows, cache=part)
                for part in self._cache.split(streams)
            )
        self._flash = flash_available(network.device, network.dtype, config.head_width)

    @torch.inference_mode()
    def append(self, work: Sequence[StreamRows]) -> None:
        """Append to several histories, of which none occurs twice.

        Raises: NetworkInputError when rows do not fit; all histories are left unchanged.
        """
        pieces = [self.decoders[stream].rows_to_compute(rows) for stream, rows in work]
        ends = [self.decoders[stream].length + len(rows) for stream, rows in work]
        spans = [(end - len(rows), end) for end, rows in zip(ends, pieces, strict=True)]
        device = self._network.device
        positions = torch.cat([torch.arange(*span) for span in spans]).to(device)
        streams = torch.tensor([stream for stream, _ in work])
        counts = torch.tensor([len(rows) for rows in pieces])
        owners = streams.repeat_interleave(counts).to(device)
        attention = _BatchAttention(owners, positions, self._capacity, max(ends), flash=self._flash)
        hidden = run_backbone(
            self._network.llm.model,
            torch.cat(pieces),
            positions,
            self._cache,
            attention,
            owners * self._capacity + positions,
        )
        last = (counts.cumsum(0) - 1).to(device)
        logits = multiply(self._network.llm.lm_head, hidden[last])
        for (stream, _), rows, after in zip(work, pieces, logits, strict=True):
            self.decoders[stream].note_computed(len(rows), after)


class _BatchAttention:
    """Rows of the histories ``owners``, int64 (n,), at ``positions`` in them, each over those of
    its own history that are not behind it. ``longest``: the length of the longest of these."""

    def __init__(
        self, owners: Tensor, positions: Tensor, capacity: int, longest: int, *, flash: bool
    ) -> None:
        self._owners, self._capacity, self._longest = owners, capacity, longest
        self._flash = flash
        rows, device = len(owners), owners.device
        if flash:
            # Each row is a sequence of its own, which begins where its history does.
            self._queries_end = torch.arange(rows + 1, dtype=torch.int32, device=device)
            begins = (owners * capacity).to(torch.int32)
            self._keys_end = torch.cat((begins, begins[-1:]))
            self._used = (positions + 1).to(torch.int32)
        else:
            behind = torch.arange(longest, device=device) <= positions[:, None]
            self._mask = behind[:, None, None]

    def __call__(self, query: Tensor, keys: Tensor, values: Tensor) -> Tensor:
        if self._flash:
            return flash_attention(
                query, keys, values, self._queries_end, self._keys_end, 1, used=self._used
            )
        rows, _, width = query.shape
        grouped = query.view(rows, keys.shape[1], -1, width)
        key, value = (self._own(part) for part in (keys, values))
        attended = scaled_dot_product_attention(grouped, key, value, attn_mask=self._mask)
        return attended.reshape(query.shape)

    def _own(self, part: Tensor) -> Tensor:
        """Return each row's own history, (n, kv heads, longest, width)."""
        histories = part.view(-1, self._capacity, *part.shape[1:])[:, : self._longest]
        return histories[self._owners].transpose(1, 2)
