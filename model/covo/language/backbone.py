"""One pass of new rows through transformers' Qwen2 layers, over a preallocated cache.

The modules and their weights are transformers'; what is done here is the order of the calls that
its ``forward`` makes, because a decode step of one row pays for every small kernel on top of
reading the weights. So RMS norm is torch's fused one, queries and keys are rotated together, and
no mask or cache object of the library (which differ between its versions) is in between.
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
    """The last row's final hidden state, shape (1, hidden), from the embeddings ``rows``
    (n, hidden) at ``positions`` (n,); keys and values go into ``cache``."""
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
    """Each (n, 1, head width); transformers gives the sine without its sign."""
    cosine, sine = (part[0] for part in model.rotary_emb(rows, positions[None]))
    first, second = sine.chunk(2, dim=-1)
    return cosine[:, None], torch.cat((-first, second), dim=-1)[:, None]


def _norm(rows: Tensor, norm: Qwen2RMSNorm) -> Tensor:
    return rms_norm(rows, norm.weight.shape, norm.weight, norm.variance_epsilon)
