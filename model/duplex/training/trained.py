"""Choose which weights are trained, and write them back into one network.

Either everything is trained, or LoRA adapters (package peft) in the language model and the encoder,
the audio adapter, and the rows of the profile's tokens in embedding and head: no other training
would ever tell the network what these mean.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from model.duplex.network.network import DuplexNetwork, StateRows
from model.errors import TrainingError
from voices.installation import add_extra

_LLM_LAYERS = r"llm\.model\.layers\.\d+\.(self_attn|mlp)\.\w+_proj"
_ENCODER_LAYERS = r"encoder\.layers\.\d+\.(self_attn\.\w+_proj|fc[12])"


def train_everything(network: DuplexNetwork) -> None:
    """Train all but the encoder's positions, which are computed."""
    for name, parameter in network.covo.named_parameters():
        parameter.requires_grad_("embed_positions" not in name)


def add_lora(network: DuplexNetwork, rank: int, alpha: int, encoder_rank: int) -> None:
    """Add adapters scaled by ``alpha`` / rank, and the rows of the profile's tokens; freeze the
    rest, except the audio adapter, which has to learn what a stream sounds like.

    ``encoder_rank``: of the encoder's adapters, scaled like the others; 0: none. Raises:
    TrainingError if peft is not installed.
    """
    try:
        from peft import LoraConfig, inject_adapter_in_model
        from peft.tuners.lora import LoraLayer
    except ImportError as error:
        raise TrainingError(
            f"LoRA needs the package peft: {add_extra('train')}; or set lora_rank = 0"
        ) from error

    targets = f"({_LLM_LAYERS}|{_ENCODER_LAYERS})" if encoder_rank else _LLM_LAYERS
    settings = LoraConfig(
        r=rank,
        lora_alpha=alpha,
        target_modules=targets,
        rank_pattern={_ENCODER_LAYERS: encoder_rank},
        alpha_pattern={_ENCODER_LAYERS: alpha * encoder_rank / rank},
        bias="none",
    )
    inject_adapter_in_model(settings, network.covo)
    for module in network.covo.modules():
        if isinstance(module, LoraLayer):
            # Autocast casts once to 16 bits; peft would cast to float32 before it.
            module.cast_input_dtype_enabled = False
    grammar = network.grammar
    network.rows = StateRows(
        network.covo,
        [t.id for t in network.profile.tokens.all if t.id < grammar.first_code],
    )
    for name, parameter in network.named_parameters():
        learns = "lora_" in name or name.startswith(("covo.audio_adapter.", "rows."))
        parameter.requires_grad_(learns)
        if learns:
            parameter.data = parameter.data.float()


def merged_tensors(network: DuplexNetwork, dtype: torch.dtype) -> dict[str, Tensor]:
    """Return the weights under their published names, as ``dtype`` on the CPU, with any adapters
    and rows merged in.

    One weight is merged after the other: the device that has trained them has no room for all of
    them in 32 bits.
    """
    own = dict[str, Tensor]()
    if (rows := network.rows) is not None:
        own = {"llm.model.embed_tokens.weight": rows.embedding, "llm.lm_head.weight": rows.head}
    tensors: dict[str, Tensor] = {}
    for name, parameter in network.covo.named_parameters():
        if "lora_" in name:
            continue
        owner, _, kind = name.rpartition(".")
        weight = parameter.detach()
        if owner.endswith(".base_layer"):
            owner = owner.removesuffix(".base_layer")
            if kind == "weight":
                layer = network.covo.get_submodule(owner)
                delta: Tensor = layer.get_delta_weight("default")  # type: ignore[operator]
                weight = weight.float() + delta.detach().float()
        weight = weight.to("cpu", dtype)
        if rows is not None and name in own:
            trained = own[name].detach().to(weight)
            weight = weight.index_copy(0, rows.ids.cpu(), trained)
        tensors[f"{owner}.{kind}"] = weight.contiguous()
    return tensors


def trained_parameters(network: DuplexNetwork) -> dict[str, nn.Parameter]:
    """Return what is trained, by name."""
    return {name: p for name, p in network.named_parameters() if p.requires_grad}
