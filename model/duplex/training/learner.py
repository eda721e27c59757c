"""Take steps of training: what is trained of a network, its optimizer, gradients and updates."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor, nn

from model.duplex.network.network import DuplexNetwork
from model.duplex.training.batch import Batch
from model.duplex.training.loss import Loss, LossWeights, loss
from model.duplex.training.optimizer import make_optimizer, set_rates
from model.duplex.training.trained import add_lora, train_everything, trained_parameters
from model.duplex.training.training_config import TrainingSection


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
        self.optimizer = make_optimizer(network, training)

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
        set_rates(self.optimizer, share)
        nn.utils.clip_grad_norm_(self.trained.values(), self._training.clip)
        self.optimizer.step()
        self.optimizer.zero_grad(set_to_none=True)
