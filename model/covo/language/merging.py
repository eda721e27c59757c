"""Linear layers that read the same rows, merged into one product.

A narrow product of one row cannot keep a GPU's memory busy, and each product costs a launch.
Training keeps the layers apart, because LoRA adapts the published ones.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import cast

import torch
from torch import Tensor, nn
from transformers.models.qwen2.modeling_qwen2 import Qwen2DecoderLayer, Qwen2Model

from model.covo.products.linear import multiply, multiply_gated


class MergedLinear(nn.Linear):
    """Linear layers of one input as one layer, whose outputs are theirs one after another.

    ``parts``: each layer's name and number of outputs, in order.
    """

    def __init__(self, layers: dict[str, nn.Linear]) -> None:
        self.parts = {name: layer.out_features for name, layer in layers.items()}
        first = next(iter(layers.values()))
        bias, outputs = first.bias is not None, sum(self.parts.values())
        super().__init__(first.in_features, outputs, bias=bias, device="meta")
        for name, _ in list(self.named_parameters()):
            each = [layer.get_parameter(name).detach() for layer in layers.values()]
            self.register_parameter(name, nn.Parameter(torch.cat(each), requires_grad=False))


@dataclass(frozen=True, slots=True)
class Merger:
    """Merges the layers ``parts`` of a module into one called ``merged``."""

    merged: str
    parts: tuple[str, ...]

    def merge(self, owner: nn.Module) -> None:
        """Replace the parts; their values are kept."""
        layers = {name: cast("nn.Linear", owner.get_submodule(name)) for name in self.parts}
        owner.add_module(self.merged, MergedLinear(layers))
        for name in self.parts:
            delattr(owner, name)

    def project(self, owner: nn.Module, rows: Tensor) -> Tensor:
        """Return the outputs of all parts (n, sum of outputs) for ``rows`` (n, inputs), merged or
        not."""
        whole = getattr(owner, self.merged, None)
        if whole is not None:
            return multiply(whole, rows)
        return torch.cat([getattr(owner, name)(rows) for name in self.parts], dim=-1)

    def project_gated(
        self, owner: nn.Module, rows: Tensor, gate: Callable[[Tensor], Tensor]
    ) -> Tensor:
        """Return ``gate`` of :meth:`project`, see
        :func:`model.covo.products.linear.multiply_gated`."""
        whole = getattr(owner, self.merged, None)
        if whole is not None:
            return multiply_gated(whole, rows, gate)
        return gate(self.project(owner, rows))


QUERY_KEY_VALUE = Merger("qkv_proj", ("q_proj", "k_proj", "v_proj"))
GATE_UP = Merger("gate_up_proj", ("gate_proj", "up_proj"))


def merge_projections(model: Qwen2Model) -> None:
    """Merge what can be, layer by layer; the model's own ``forward`` no longer works. On the meta
    device this is done before the weights are filled."""
    for layer in cast("list[Qwen2DecoderLayer]", list(model.layers)):
        QUERY_KEY_VALUE.merge(layer.self_attn)
        GATE_UP.merge(layer.mlp)
