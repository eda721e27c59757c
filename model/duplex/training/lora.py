"""LoRA adapters (peft) in a Covo-Audio network, and the weights with them merged in."""

from __future__ import annotations

from torch import Tensor, nn

from model.covo.language.network import CovoNetwork
from model.errors import TrainingError

_TARGETS = (
    r"(llm\.model\.layers\.\d+\.(self_attn|mlp)\.\w+_proj"
    r"|encoder\.layers\.\d+\.(self_attn\.\w+_proj|fc[12]))"
)


def add_lora(network: CovoNetwork, rank: int, alpha: int) -> None:
    """Freeze ``network`` but for new adapters in its layers and the audio adapter, which has to
    learn what a stream sounds like. Raises: TrainingError when peft is not installed."""
    try:
        from peft import LoraConfig, inject_adapter_in_model
    except ImportError as error:
        raise TrainingError(
            "LoRA needs the package peft: pip install 'covo[train]', or lora_rank = 0"
        ) from error

    settings = LoraConfig(r=rank, lora_alpha=alpha, target_modules=_TARGETS, bias="none")
    inject_adapter_in_model(settings, network)
    for name, parameter in network.named_parameters():
        learns = "lora_" in name or name.startswith("audio_adapter.")
        parameter.requires_grad_(learns)
        if learns:
            parameter.data = parameter.data.float()


def merged_tensors(network: CovoNetwork) -> dict[str, Tensor]:
    """The network's weights under their published names, whether it has adapters or not."""
    tensors: dict[str, Tensor] = {}
    for name, parameter in network.named_parameters():
        if "lora_" in name:
            continue
        owner, _, kind = name.rpartition(".")
        weight = parameter.detach()
        if owner.endswith(".base_layer"):
            owner = owner.removesuffix(".base_layer")
            if kind == "weight":
                weight = weight.float() + _delta(network.get_submodule(owner))
        tensors[f"{owner}.{kind}"] = weight
    return tensors


def _delta(layer: nn.Module) -> Tensor:
    delta: Tensor = layer.get_delta_weight("default")  # type: ignore[operator]
    return delta.detach().float()
