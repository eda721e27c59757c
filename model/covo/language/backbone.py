"""One pass of new rows through transformers' Qwen2 layers, over a preallocated cache.

Modules and weights are transformers'; this replaces its ``forward``, because a decode step of one
row pays for every small kernel on top of reading the weights. RMS norm is torch's fused one,
queries and keys are rotated together, and none of the library's mask and cache objects, which
differ between versions, are involved.
"""

from __future__ import annotations

from typing import cast

import torch
from torch import Tensor
from torch.nn.functional import rms_norm
from transformers.models.qwen2.modeling_qwen2 import (
    Qwen2DecoderLayer,
    Qwen2Model,
    Qwen2RMSNorm,
)

from model.covo.language.attention import Attention
from model.covo.language.cache import KVCache
from model.covo.language.rotary import Rotation, rotate


def run_backbone(
    model: Qwen2Model, rows: Tensor, positions: Tensor, cache: KVCache, attention: Attention
) -> Tensor:
    """Return the last row's final hidden state (1, hidden) for the embeddings ``rows``
    (n, hidden) at ``positions`` (n,); their keys and values go into ``cache``."""
    rotation = _rotation(model, rows, positions)
    width = rotation[0].shape[-1]
    for index, layer in enumerate(cast("list[Qwen2DecoderLayer]", model.layers)):
        attend = layer.self_attn
        inner = _norm(rows, layer.input_layernorm)
        query, key, value = (
            projection(inner).view(len(rows), -1, width)
            for projection in (attend.q_proj, attend.k_proj, attend.v_proj)
        )
        both = rotate(torch.cat((query, key), dim=1), rotation)
        query, key = both.split((query.shape[1], key.shape[1]), dim=1)
        heard = attention(query, (key, value), *cache.layer(index))
        rows = rows + attend.o_proj(heard.reshape(len(rows), -1))
        rows = rows + layer.mlp(_norm(rows, layer.post_attention_layernorm))
    return _norm(rows[-1:], model.norm)


def _rotation(model: Qwen2Model, rows: Tensor, positions: Tensor) -> Rotation:
    """Return cosine and sine (n, 1, head width); transformers leaves out the sine's sign."""
    cosine, sine = (part[0] for part in model.rotary_emb(rows, positions[None]))
    first, second = sine.chunk(2, dim=-1)
    return cosine[:, None], torch.cat((-first, second), dim=-1)[:, None]


def _norm(rows: Tensor, norm: Qwen2RMSNorm) -> Tensor:
    return rms_norm(rows, norm.weight.shape, norm.weight, norm.variance_epsilon)
