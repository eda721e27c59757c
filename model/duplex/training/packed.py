"""Run the language model over several sequences laid end to end.

Each row attends to the rows before it in its own sequence, and positions begin anew with each, so
packed sequences compute what they would alone. The layers' modules are transformers', with or
without adapters in them.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import cast

import torch
from torch import Tensor
from torch.nn.functional import scaled_dot_product_attention
from torch.utils.checkpoint import checkpoint
from transformers.models.qwen2.modeling_qwen2 import Qwen2DecoderLayer, Qwen2Model

from model.covo.language.rotary import Rotation, rotate, rotation


def run_packed(
    model: Qwen2Model, rows: Tensor, lengths: Sequence[int], *, recompute: bool = False
) -> Tensor:
    """Return the hidden states (n, hidden), after the final norm, of ``rows`` (n, hidden).

    ``lengths``: of the sequences, n in all. ``recompute``: keep only each layer's input for the
    backward pass.
    """
    device = rows.device
    positions = torch.cat([torch.arange(length) for length in lengths]).to(device)
    cosine, sine = rotation(positions[:, None, None] * model.rotary_emb.inv_freq)
    turned = cosine.to(rows), sine.to(rows)
    for layer in model.layers:
        if recompute:
            rows = checkpoint(
                _layer, layer, rows, turned, lengths, use_reentrant=False, preserve_rng_state=False
            )
        else:
            rows = _layer(cast(Qwen2DecoderLayer, layer), rows, turned, lengths)
    normed: Tensor = model.norm(rows)
    return normed


def _layer(
    layer: Qwen2DecoderLayer, rows: Tensor, turned: Rotation, lengths: Sequence[int]
) -> Tensor:
    attention = layer.self_attn
    normed = layer.input_layernorm(rows)
    query, key, value = (
        projection(normed).unflatten(-1, (-1, attention.head_dim))
        for projection in (attention.q_proj, attention.k_proj, attention.v_proj)
    )
    query, key = rotate(query, turned), rotate(key, turned)
    # Attention apart for each sequence: a mask would rule out the fast kernels.
    parts = zip(*(each.split(list(lengths)) for each in (query, key, value)), strict=True)
    mixed = torch.cat([_attend(*part) for part in parts]).flatten(1)
    rows = rows + attention.o_proj(mixed)
    out: Tensor = rows + layer.mlp(layer.post_attention_layernorm(rows))
    return out


def _attend(query: Tensor, key: Tensor, value: Tensor) -> Tensor:
    """Attend causally from ``query`` (n, heads, width) to ``key`` and ``value`` (n, kv heads,
    width)."""
    heads_first = [each.transpose(0, 1)[None] for each in (query, key.to(query), value.to(query))]
    query, key, value = heads_first
    mixed = scaled_dot_product_attention(query, key, value, is_causal=True, enable_gqa=True)
    return mixed[0].transpose(0, 1)
