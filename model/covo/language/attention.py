"""Attention over the key-value cache, which holds the new rows already.

- :class:`PrefillAttention`: any number of rows at a position that the host knows.
- :class:`StepAttention`: a few rows at positions that only the device knows, over a fixed number
  of cache rows, so that a CUDA graph of it stays valid as the history grows.

:func:`flash_available` chooses between two implementations. FlashAttention's variable-length form
takes the number of valid keys from device memory, reads no others, splits a long history over the
whole GPU and needs neither masks nor repeated keys; for steps our own kernels do the same in less
time, where Triton works. Elsewhere (CPU, MPS, float32) it is ``scaled_dot_product_attention``, with
a mask where one is needed.
"""

from __future__ import annotations

from typing import Protocol

import torch
from torch import Tensor
from torch.nn.functional import scaled_dot_product_attention

from model.covo.config.device import triton_works


class Attention(Protocol):
    """Attend from new rows to themselves and all rows before them.

    ``query`` and the result: (n, heads, head width). ``keys`` and ``values``: a layer's cache
    (capacity, kv heads, head width), which holds the new rows already.
    """

    def __call__(self, query: Tensor, keys: Tensor, values: Tensor) -> Tensor: ...


def flash_available(device: torch.device, dtype: torch.dtype, head_width: int) -> bool:
    """Return whether FlashAttention can be used: NVIDIA, Ampere or newer, 16-bit numbers."""
    return (
        device.type == "cuda"
        and torch.version.hip is None
        and dtype in (torch.float16, torch.bfloat16)
        and head_width % 8 == 0
        and head_width <= 256
        and torch.backends.cuda.is_flash_attention_available()
        and torch.cuda.get_device_capability(device) >= (8, 0)
    )


class PrefillAttention:
    """``rows`` new rows after ``start`` others; each sees itself and those before it."""

    def __init__(self, start: int, rows: int, device: torch.device, *, flash: bool) -> None:
        self._rows, self._end = rows, start + rows
        self._flash = flash
        if flash:
            edge = torch.arange(2, dtype=torch.int32, device=device)
            self._queries_end, self._keys_end = edge * rows, edge * self._end
        # SDPA's causal flag counts from the first key, so it only suits an empty history.
        elif start:
            square = torch.ones(rows, self._end, dtype=torch.bool, device=device)
            self._mask: Tensor | None = square.tril(start)
        else:
            self._mask = None

    def __call__(self, query: Tensor, keys: Tensor, values: Tensor) -> Tensor:
        seen = keys[: self._end], values[: self._end]
        if self._flash:
            return flash_attention(
                query, *seen, self._queries_end, self._keys_end, self._rows, used=None
            )
        # Repeat the keys: the memory-efficient kernel has no groups, and the plain one would hold
        # all scores at once.
        groups = query.shape[1] // keys.shape[1]
        key, value = (_heads_first(rows.repeat_interleave(groups, 1)) for rows in seen)
        causal = self._mask is None
        attended = scaled_dot_product_attention(
            _heads_first(query), key, value, attn_mask=self._mask, is_causal=causal
        )
        return attended[0].transpose(0, 1)


class StepAttention:
    """A few rows at ``positions``, int64 (n,), each over those of the first ``attended`` cache rows
    that are not behind it. Never waits for the device."""

    def __init__(self, positions: Tensor, attended: int, *, flash: bool) -> None:
        self._attended = attended
        self._flash = flash
        self._positions = positions
        rows, device = len(positions), positions.device
        self._fused = flash and triton_works(device)
        if self._fused:
            return
        if flash:
            # Each row is a sequence of its own over the same keys: all of them begin at key 0.
            # FlashAttention splits a history over the whole GPU only for single queries.
            self._queries_end = torch.arange(rows + 1, dtype=torch.int32, device=device)
            self._keys_end = torch.zeros_like(self._queries_end)
            self._used = (positions + 1).to(torch.int32)
        else:
            behind = torch.arange(attended, device=device) <= positions[:, None]
            self._mask = behind[:, None, None]

    def __call__(self, query: Tensor, keys: Tensor, values: Tensor) -> Tensor:
        if self._fused:
            from model.covo.language.kernels import attend_step

            return attend_step(query, keys, values, self._positions, self._attended)
        seen = keys[: self._attended], values[: self._attended]
        if self._flash:
            return flash_attention(
                query, *seen, self._queries_end, self._keys_end, 1, used=self._used
            )
        # Query heads that share a key head become the rows of one query: nothing is repeated.
        rows, _, width = query.shape
        grouped = query.view(rows, keys.shape[1], -1, width)
        key, value = (_heads_first(part).expand(rows, -1, -1, -1) for part in seen)
        attended = scaled_dot_product_attention(grouped, key, value, attn_mask=self._mask)
        return attended.reshape(query.shape)


def flash_attention(
    query: Tensor,
    keys: Tensor,
    values: Tensor,
    queries_end: Tensor,
    keys_end: Tensor,
    rows: int,
    *,
    used: Tensor | None,
) -> Tensor:
    """Causal attention in sequences of at most ``rows`` queries, aligned to their last key.

    ``queries_end`` and ``keys_end``: where each sequence begins and the last ends, int32, on the
    device; ``used``: the number of keys of each, int32, None for all up to the next.

    This is the operation behind ``scaled_dot_product_attention`` and ``varlen_attn``; the latter
    accepts ``seqused_k`` and grouped queries only in the newest torch.
    """
    attended: Tensor = torch.ops.aten._flash_attention_forward(
        query,
        keys,
        values,
        queries_end,
        keys_end,
        rows,
        keys.shape[0],
        0.0,  # dropout
        rows > 1,  # causal; a single row sees every key
        False,  # the probabilities are not wanted
        seqused_k=used,
    )[0]
    return attended


def _heads_first(rows: Tensor) -> Tensor:
    """Turn (n, heads, width) into (1, heads, n, width)."""
    return rows.transpose(0, 1)[None]
