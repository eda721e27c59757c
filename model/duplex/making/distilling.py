"""Teach an encoder that runs as a stream what it hears in one piece.

What a step hears depends only on the seed and its number, so a stopped run goes on as if nothing
had happened.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from math import cos, isfinite, pi
from pathlib import Path
from statistics import fmean

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from model.duplex.network.encoder import StreamingEncoder
from model.duplex.training.whole import UNREADABLE, written_whole
from model.errors import TrainingError

STATE = "training.pt"
"""What a stopped run goes on from, in its folder."""
_LOWEST_RATE = 0.1
_CLIP = 1.0


@dataclass(frozen=True, slots=True)
class DistillingSettings:
    """How to train.

    Args:
        pieces: sounds in a step.
        cosine: weight of the angle between features beside their squared distance.
        anywhere: begin each step at a random position, as on an endless stream, and not at 0.
        half: compute in bfloat16 what may be.
    """

    steps: int
    pieces: int
    warm_up: int
    cosine: float
    save_every: int
    seed: int
    anywhere: bool = True
    half: bool = False


class Distilling:
    """Trains the parameters of ``network`` that have a ``rate``, by name; the others are frozen.

    ``student`` hears with them. ``teach`` returns the features (n, width) that it should find in
    a sound (samples,); ``piece`` draws one, whole chunks long. Raises: TrainingError if ``folder``
    holds what cannot be gone on from.
    """

    def __init__(
        self,
        network: nn.Module,
        student: StreamingEncoder,
        rate: Callable[[str], float | None],
        teach: Callable[[Tensor], Tensor],
        piece: Callable[[np.random.Generator], Tensor],
        settings: DistillingSettings,
        folder: Path,
    ) -> None:
        self._student, self._teach, self._piece = student, teach, piece
        self._settings = settings
        self._trained: dict[str, nn.Parameter] = {}
        groups: dict[float, list[nn.Parameter]] = {}
        for name, parameter in network.named_parameters():
            highest = rate(name)
            parameter.requires_grad_(highest is not None)
            if highest is not None:
                self._trained[name] = parameter
                groups.setdefault(highest, []).append(parameter)
        self._optimizer = torch.optim.AdamW(
            [{"params": group, "lr": one, "highest": one} for one, group in groups.items()],
            betas=(0.9, 0.98),
            weight_decay=0.0,
        )
        self._device = student.encoder.conv1.weight.device
        self._state = folder / STATE
        self.step = 0
        if self._state.is_file():
            self._resume()

    def run(self) -> Iterator[tuple[int, float]]:
        """Run the remaining steps; yield the number of each and its loss."""
        settings = self._settings
        while self.step < settings.steps:
            yield self.step + 1, self._train_step()
            if self.step % settings.save_every == 0 or self.step == settings.steps:
                self._save()

    @torch.no_grad()
    def judge(self, sounds: Iterable[Tensor]) -> float:
        """Return the mean loss of ``sounds``, each heard from the first position on."""
        return fmean(float(self._loss(sound, 0)) for sound in sounds)

    def _train_step(self) -> float:
        settings, total = self._settings, 0.0
        for group in self._optimizer.param_groups:
            group["lr"] = group["highest"] * self._rate_share()
        random = np.random.default_rng((settings.seed, 4, self.step))
        origin = 0
        if settings.anywhere:
            origin = int(random.integers(self._student.profile.encoder.position_period))
        for _ in range(settings.pieces):
            loss = self._loss(self._piece(random), origin) / settings.pieces
            loss.backward()
            total += float(loss.detach())
        if not isfinite(total):
            raise TrainingError(
                f"the loss of step {self.step + 1} is {total}; delete {self._state.parent}, and "
                "begin again with lower learning rates"
            )
        nn.utils.clip_grad_norm_(self._trained.values(), _CLIP)
        self._optimizer.step()
        self._optimizer.zero_grad(set_to_none=True)
        self.step += 1
        return total

    def _loss(self, audio: Tensor, origin: int) -> Tensor:
        half = self._settings.half
        with torch.autocast(self._device.type, torch.bfloat16, enabled=half):
            with torch.no_grad():
                wanted = self._teach(audio)
            state = self._student.start(1, origin)
            found, _ = self._student(state, audio[None].to(self._device))
        count = min(found.shape[1], len(wanted))
        heard, wanted = found[0, :count].float(), wanted[:count].float()
        angle = 1 - functional.cosine_similarity(heard, wanted, dim=-1).mean()
        return functional.mse_loss(heard, wanted) + self._settings.cosine * angle

    def _rate_share(self) -> float:
        settings = self._settings
        if self.step < settings.warm_up:
            return (self.step + 1) / settings.warm_up
        done = (self.step - settings.warm_up) / max(1, settings.steps - settings.warm_up)
        return _LOWEST_RATE + (1 - _LOWEST_RATE) * 0.5 * (1 + cos(pi * done))

    def _save(self) -> None:
        optimizer = self._optimizer.state_dict()
        with written_whole(self._state) as draft:
            torch.save({"step": self.step, "trained": self._trained, "optimizer": optimizer}, draft)

    def _resume(self) -> None:
        try:
            state = torch.load(self._state, map_location="cpu", weights_only=True)
            with torch.no_grad():
                for name, values in state["trained"].items():
                    self._trained[name].copy_(values)
            self._optimizer.load_state_dict(state["optimizer"])
            self.step = state["step"]
        except UNREADABLE as error:
            raise TrainingError(f"cannot go on from {self._state}; delete its folder") from error
