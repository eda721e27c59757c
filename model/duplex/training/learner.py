"""Take steps of training: what is trained of a network, its optimizer, gradients and updates."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor, nn
from torch.optim import AdamW, Optimizer

from model.duplex.network.network import DuplexNetwork
from model.duplex.training.batch import Batch
from model.duplex.training.loss import Loss, LossWeights, loss
from model.duplex.training.trained import add_lora, train_everything, trained_parameters
from model.duplex.training.training_config import TrainingSection
from model.errors import TrainingError
from voices.installation import add_extra

_BETAS = (0.9, 0.98)


class Learner:
    """Trains ``network`` as ``training`` says. Raises: TrainingError if a package is missing."""

    def __init__(
        self, network: DuplexNetwork, training: TrainingSection, weights: LossWeights
    ) -> None:
        self.network = network
        self._training = training
        self._weights = weights
        if rank := training.lora_rank:
            encoder = rank if training.encoder_rank is None else training.encoder_rank
            add_lora(network, rank, training.lora_alpha or 2 * rank, encoder)
        else:
            train_everything(network)
        self.trained: Mapping[str, nn.Parameter] = trained_parameters(network)
        self.optimizer = _make_optimizer(network, training)

    def gradients(self, batch: Batch, origin: int = 0) -> Loss:
        """Add the gradients of ``batch``, one of a step's, and return its loss. ``origin``: the
        position of its first frame."""
        training = self._training
        low = training.precision == "bfloat16"
        with torch.autocast(self.network.device.type, torch.bfloat16, enabled=low):
            one = loss(
                self.network,
                batch,
                self._weights,
                origin,
                teacher=training.teacher,
                recompute=training.recompute,
            )
        share: Tensor = one.total / training.accumulate
        share.backward()
        return one

    def update(self, share: float) -> None:
        """Change what is trained by the gradients, at ``share`` of the highest rates."""
        _set_rates(self.optimizer, share)
        nn.utils.clip_grad_norm_(self.trained.values(), self._training.clip)
        self.optimizer.step()
        self.optimizer.zero_grad(set_to_none=True)


def _make_optimizer(network: DuplexNetwork, training: TrainingSection) -> Optimizer:
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


def _set_rates(optimizer: Optimizer, share: float) -> None:
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
