"""The language model's memory of a conversation that may last for hours: an attention sink.

The prompt stays for ever, of the rest the newest ``window`` tokens. When they are reached, the
oldest ``evict`` are forgotten at once: their keys and values go, and the keys behind them, which
hold their position as a rotation, are rotated back by as many positions. Nothing is computed
again, positions never grow beyond prompt and window, and the cost is one pass over the cache for
every ``evict`` tokens. (What is kept has seen what is forgotten; it is not as if it had never
been said.) StreamingLLM, arXiv 2309.17453, has the idea of the sink.
"""

from __future__ import annotations

from copy import deepcopy
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from transformers import DynamicCache, Qwen2ForCausalLM

from model.duplex.profile import ContextProfile


@dataclass(slots=True)
class Context:
    """A key-value cache whose first ``kept`` tokens are the prompt; ``forgotten``: tokens that
    are no longer there. Changed by :func:`advance`; copy it to be able to go back."""

    cache: DynamicCache
    kept: int = 0
    forgotten: int = 0

    @property
    def length(self) -> int:
        """Tokens in it."""
        return int(self.cache.get_seq_length())

    def copy(self) -> Context:
        """An equal one that shares nothing with this."""
        return Context(deepcopy(self.cache), self.kept, self.forgotten)


def advance(
    llm: Qwen2ForCausalLM, context: Context, rows: Tensor, settings: ContextProfile
) -> Tensor:
    """Put ``rows`` (n, hidden) behind ``context``; return the last one's hidden state (hidden,),
    after the final norm."""
    if context.length - context.kept + len(rows) > settings.window:
        _forget(llm, context, settings.evict)
    out = llm.model(inputs_embeds=rows[None], past_key_values=context.cache, use_cache=True)
    hidden: Tensor = out.last_hidden_state[0, -1]
    return hidden


def _forget(llm: Qwen2ForCausalLM, context: Context, count: int) -> None:
    begin, end = context.kept, context.kept + count
    angles = count * llm.model.rotary_emb.inv_freq.float()
    cosine, sine = (torch.cat((half, half), dim=-1) for half in (angles.cos(), angles.sin()))
    layers: list[Any] = list(context.cache.layers)
    for layer in layers:
        kept, moved = layer.keys[..., :begin, :], layer.keys[..., end:, :]
        layer.keys = torch.cat((kept, _rotated_back(moved, cosine, sine)), dim=-2)
        layer.values = torch.cat((layer.values[..., :begin, :], layer.values[..., end:, :]), dim=-2)
    context.forgotten += count


def _rotated_back(keys: Tensor, cosine: Tensor, sine: Tensor) -> Tensor:
    """Qwen2's rotation of ``keys`` (..., width), which pairs the halves, the other way round."""
    wide = keys.float()
    first, second = wide.chunk(2, dim=-1)
    return (wide * cosine + torch.cat((second, -first), dim=-1) * sine).to(keys.dtype)
