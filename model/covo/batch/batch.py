"""Several histories of one network that take a step in one pass of it.

They lie one behind the other in one cache, each with its own length. A pass takes a few rows of any
of them. Each row is written to its own history and attends to nothing else, so a history's logits
do not depend on who shares the pass, but for the rounding of a product with more rows.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from itertools import product
from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn.functional import scaled_dot_product_attention

from model.covo.language.attention import flash_attention, flash_available
from model.covo.language.backbone import run_backbone
from model.covo.language.cache import KVCache
from model.covo.language.decoder import Decoder
from model.covo.language.network import CovoNetwork
from model.covo.language.stepping import StepGraphs, attended_length, attended_lengths
from model.covo.products.linear import multiply
from model.errors import NetworkInputError

GRAPH_ROWS = (*range(1, 17), 32, 48, 64)
"""Rows of the joint passes that are CUDA graphs. A pass of a number between is made up to the next
with copies of its first row: on an H200 64 rows take 1.4 times as long as 8 in graphs, and 32 rows
half as long as launched one by one. One of more rows is no graph."""


def graph_rows(most: int) -> list[int]:
    """Return the numbers of rows whose passes are graphs where none has above ``most``."""
    below = [rows for rows in GRAPH_ROWS if rows < most]
    return [*below, most] if most <= GRAPH_ROWS[-1] else below


class NewRows(NamedTuple):
    """``rows`` (n, hidden) to compute behind the first ``start`` tokens of history ``stream``."""

    stream: int
    start: int
    rows: Tensor


class StreamRows(NamedTuple):
    """``rows`` (n, hidden) to append to the history of the decoder ``stream``."""

    stream: int
    rows: Tensor


class JointStep:
    """Computes new rows of ``streams`` histories of up to ``capacity`` tokens in one pass.

    ``step_rows``: the most rows of one history. ``graph``: as of a
    :class:`~model.covo.language.decoder.Decoder`. For one thread at a time, and on one CUDA stream.
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
        config, device, dtype = network.config.backbone, network.device, network.dtype
        most = streams * step_rows
        self._graph_rows = graph_rows(most)
        with torch.inference_mode():
            self._cache = KVCache.empty(config, streams * capacity, device, dtype)
            # Inputs and output of a pass.
            self._rows = torch.zeros(most, config.hidden, dtype=dtype, device=device)
            self._offsets = torch.arange(step_rows, device=device)
            self._owners = torch.zeros(most, dtype=torch.long, device=device)
            self._positions = torch.zeros_like(self._owners)
            # The last row of each history in the pass; of one row each, all.
            self._ends = torch.arange(streams, device=device)
            self._logits = torch.zeros(streams, config.vocabulary, device=device)
        self.caches = tuple(self._cache.split(streams))
        """The cache of each history."""
        self._flash = flash_available(device, dtype, config.head_width)
        on_gpu = device.type == "cuda"
        self._graphs = StepGraphs(device) if graph and on_gpu else None

    @property
    def graphed(self) -> bool:
        """Whether passes of few rows are CUDA graphs."""
        return self._graphs is not None

    def captures(self) -> list[Callable[[], None]]:
        """Return what to run, while all histories are empty, so that no later pass is captured."""
        if self._graphs is None:
            return []
        # FlashAttention reads as many keys as there are, whatever the length it is told.
        lengths = [self._capacity] if self._flash else attended_lengths(self._capacity)
        sizes = product(self._graph_rows, lengths)
        return [partial(self._graphs.prepare, self._step, *size) for size in sizes]

    @torch.inference_mode()
    def compute(self, work: Sequence[NewRows]) -> list[Tensor]:
        """Write the rows of several histories, of which none occurs twice, to their caches. Return
        the logits (vocabulary,) behind the last row of each, until the next pass.

        Does not wait for the device. Raises: NetworkInputError for too many rows of a history.
        """
        end = 0
        for number, (stream, start, rows) in enumerate(work):
            count = len(rows)
            if count > len(self._offsets):
                raise NetworkInputError(
                    f"a joint pass takes {len(self._offsets)} rows of a history, not {count}"
                )
            here = slice(end, end + count)
            self._rows[here] = rows
            self._owners[here] = stream
            torch.add(self._offsets[:count], start, out=self._positions[here])
            end += count
            if len(self._offsets) > 1:
                self._ends[number] = end - 1
        longest = max(start + len(rows) for _, start, rows in work)
        whole = next((rows for rows in self._graph_rows if rows >= end), None)
        if self._graphs is None or whole is None:
            self._step(end, longest, len(work))
        else:
            # A copy writes to the cache what its row does.
            if end < whole:
                for inputs in (self._rows, self._owners, self._positions):
                    inputs[end:whole] = inputs[0]
            capacity = self._capacity
            attended = capacity if self._flash else attended_length(longest, capacity)
            self._graphs(self._step, whole, attended)
        return list(self._logits[: len(work)])

    @torch.inference_mode()
    def _step(self, rows: int, attended: int, histories: int | None = None) -> None:
        """Compute the logits behind the last row of each of ``histories``; None: of as many as
        ``rows`` may be of, because a graph does not know."""
        owners, positions = self._owners[:rows], self._positions[:rows]
        attention = _BatchAttention(owners, positions, self._capacity, attended, flash=self._flash)
        hidden = run_backbone(
            self._network.llm.model,
            self._rows[:rows],
            positions,
            self._cache,
            attention,
            owners * self._capacity + positions,
        )
        count = min(rows, len(self._ends)) if histories is None else histories
        if len(self._offsets) > 1:
            hidden = hidden[self._ends[:count].clamp(max=rows - 1)]
        self._logits[:count].copy_(multiply(self._network.llm.lm_head, hidden))


class DecoderBatch:
    """The ``decoders`` of ``streams`` histories of up to ``capacity`` tokens each.

    ``graph``: of the joint step; a decoder by itself has none. ``step_rows``: of both. For one
    thread at a time.
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
        self._joint = JointStep(network, streams, capacity, graph=graph, step_rows=step_rows)
        self.decoders = tuple(
            Decoder(network, capacity, graph=False, step_rows=step_rows, cache=cache)
            for cache in self._joint.caches
        )

    def append(self, work: Sequence[StreamRows]) -> None:
        """Append to several histories, of which none occurs twice, up to ``step_rows`` rows each.

        Raises: NetworkInputError when rows do not fit; all histories are left unchanged.
        """
        pieces = []
        for stream, rows in work:
            decoder = self.decoders[stream]
            given = decoder.rows_to_compute(rows)
            pieces.append(NewRows(stream, decoder.length + len(rows) - len(given), given))
        for (stream, _, rows), logits in zip(pieces, self._joint.compute(pieces), strict=True):
            self.decoders[stream].note_computed(len(rows), logits)


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
