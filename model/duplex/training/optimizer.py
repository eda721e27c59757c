"""Make the optimizer: AdamW with a learning rate for each part of the network."""

from __future__ import annotations

from torch import Tensor, nn
from torch.optim import AdamW, Optimizer

from model.duplex.network.network import DuplexNetwork
from model.duplex.training.trained import trained_parameters
from model.duplex.training.training_config import TrainingSection
from model.errors import TrainingError
from voices.installation import add_extra

_BETAS = (0.9, 0.98)


def make_optimizer(network: DuplexNetwork, training: TrainingSection) -> Optimizer:
    """Return the optimizer of what ``network`` trains; its groups have their highest rate as
    ``highest``. Raises: TrainingError if the package for 8 bits is missing."""
    groups = _groups(network, training)
    if training.optimizer == "adamw":
        return AdamW(groups, betas=_BETAS, weight_decay=training.weight_decay)
    try:
        from torchao.optim import AdamW8bit
    except ImportError as error:
        raise TrainingError(
            f"8-bit AdamW needs the package torchao: {add_extra('train')}; or set "
            "optimizer = 'adamw'"
        ) from error
    optimizer: Optimizer = AdamW8bit(groups, betas=_BETAS, weight_decay=training.weight_decay)
    return optimizer


def set_rates(optimizer: Optimizer, share: float) -> None:
    """Give every part ``share`` of its highest learning rate."""
    for group in optimizer.param_groups:
        rate = share * group["highest"]
        if isinstance(group["lr"], Tensor):  # torchao compiles its step, and numbers would be part
            group["lr"].fill_(rate)
        else:
            group["lr"] = rate


def _groups(network: DuplexNetwork, training: TrainingSection) -> list[dict[str, object]]:
    own = {
        "rows.": training.rows_rate,
        "covo.audio_adapter.": training.adapter_rate,
        "covo.encoder.": training.encoder_rate,
    }
    groups: dict[float, list[nn.Parameter]] = {}
    for name, parameter in trained_parameters(network).items():
        rate = next((value for start, value in own.items() if name.startswith(start)), None)
        groups.setdefault(training.learning_rate if rate is None else rate, []).append(parameter)
    return [{"params": params, "lr": rate, "highest": rate} for rate, params in groups.items()]
