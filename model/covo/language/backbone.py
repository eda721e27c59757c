"""One pass of new rows through transformers' Qwen2 layers, over a preallocated cache.

Modules and weights are transformers', with products merged (:mod:`model.covo.language.merging`);
this replaces its ``forward``, because a decode step of one row pays for every small kernel on top
of reading the weights. None of the library's mask and cache objects, which differ between versions,
are involved.
"""

from __future__ import annotations

from typing import cast

import torch
from torch import Tensor
from transformers.models.qwen2.modeling_qwen2 import (
    Qwen2DecoderLayer,
    Qwen2Model,
    Qwen2RMSNorm,
)

from model.covo.config.device import triton_works
from model.covo.language.attention import Attention
from model.covo.language.cache import KVCache
from model.covo.language.layer_ops import EAGER, LayerOps
from model.covo.language.merging import GATE_UP, QUERY_KEY_VALUE
from model.covo.language.rotary import Rotation, rotation
from model.covo.products.linear import multiply


def run_backbone(
    model: Qwen2Model,
    rows: Tensor,
    positions: Tensor,
    cache: KVCache,
    attention: Attention,
    places: Tensor | None = None,
) -> Tensor:
    """Return the final hidden states (n, hidden) for the embeddings ``rows`` (n, hidden) at
    ``positions`` (n,); their keys and values go to the rows ``places`` of ``cache``, int64 (n,),
    by default ``positions``."""
    places = positions if places is None else places
    ops = layer_ops(rows.device)
    turned = _rotation(model, positions, rows.dtype)
    layers = cast("list[Qwen2DecoderLayer]", list(model.layers))
    norms = [*(layer.input_layernorm for layer in layers), model.norm]

    def add_norm(more: Tensor | None, norm: Qwen2RMSNorm) -> tuple[Tensor, Tensor]:
        return ops.add_norm(rows, more, norm.weight, norm.variance_epsilon)

    _, inner = add_norm(None, norms[0])
    for index, layer in enumerate(layers):
        keys, values = cache.layer(index)
        projected = QUERY_KEY_VALUE.project(layer.self_attn, inner)
        query = ops.rotate_and_store(projected, turned, places, keys, values)
        heard = attention(query, keys, values).reshape(len(rows), -1)
        attended = multiply(layer.self_attn.o_proj, heard)
        rows, inner = add_norm(attended, layer.post_attention_layernorm)
        gated = GATE_UP.project_gated(layer.mlp, inner, ops.gate)
        rows, inner = add_norm(multiply(layer.mlp.down_proj, gated), norms[index + 1])
    return inner


def layer_ops(device: torch.device) -> LayerOps:
    """Return the fastest operations that ``device`` has."""
    if not triton_works(device):
        return EAGER
    from model.covo.language.kernels import FUSED

    return FUSED


def _rotation(model: Qwen2Model, positions: Tensor, dtype: torch.dtype) -> Rotation:
    """Return cosine and sine (n, 1, head width), computed in float32."""
    cosine, sine = rotation(positions[:, None, None] * model.rotary_emb.inv_freq)
    return cosine.to(dtype), sine.to(dtype)
