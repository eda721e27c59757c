"""Training a duplex network on a folder of dialogues, step by step, resumably.

What a step sees is decided by its number and the seed alone, so a run that was stopped goes on as
if it had not been: weights, optimizer and the generators' states come back from the checkpoint,
the position in the data is the step. Everything is trained, or LoRA adapters (peft) that are merged
into the weights when these are written.
"""

from __future__ import annotations

import pickle
import shutil
from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from math import cos, pi
from typing import Any

import numpy as np
import torch
from safetensors.torch import save_file
from torch import Tensor, nn

from model.covo.config.device import named_device
from model.covo.config.precision import Precision
from model.covo.loading.assemble import TOKEN2WAV
from model.covo.speech.voice_catalogue import VOICES
from model.duplex.network.network import DuplexNetwork, load_duplex
from model.duplex.network.tokenizer import TOKENIZER, load_tokenizer
from model.duplex.protocol.profile_file import FILE
from model.duplex.protocol.sequence import ChunkedDialogue
from model.duplex.training.batch import collate, loss
from model.duplex.training.dataset import Codec, DialogueFolder
from model.duplex.training.lora import add_lora, merged_tensors
from model.duplex.training.training_config import TrainingConfig
from model.errors import TrainingError

STATE = "training.pt"
"""What a stopped run goes on from, in the output folder; removed when training is over."""

_LOWEST_RATE = 0.05


@dataclass(frozen=True, slots=True)
class StepReport:
    """Step ``step`` (from 1) is done. ``losses``: plain means by kind of token."""

    step: int
    loss: float
    losses: Mapping[str, float]


class DuplexTrainer:
    """A training run as ``config`` describes it; it goes on from its checkpoint if there is one.

    Raises: TrainingError, NetworkConfigError, WeightsError.
    """

    def __init__(self, config: TrainingConfig) -> None:
        self._config = config
        training = config.training
        torch.manual_seed(training.seed)
        # Weights that are trained are float32; those that are not may be as small as they come.
        held = Precision.BF16 if training.lora_rank and self._low else Precision.FP32
        folder = config.path(config.network.folder)
        device = named_device(training.device)
        self.network = load_duplex(folder, device=device, precision=held)
        self._trained = self._choose_trained(self.network)
        self._optimizer = torch.optim.AdamW(
            self._trained.values(),
            lr=training.learning_rate,
            betas=(0.9, 0.98),
            weight_decay=training.weight_decay,
        )
        self._dialogues = DialogueFolder(
            config.path(config.data.folder),
            self.network.grammar,
            load_tokenizer(folder, self.network.profile),
            Codec(config.data.codec),
        )
        self._kept: dict[int, ChunkedDialogue] = {}
        self._output = config.path(config.network.output)
        self.step = 0
        if (self._output / STATE).is_file():
            self._resume()

    def run(self) -> Iterator[StepReport]:
        """Train what is left, saving now and then; at the end the checkpoint is written."""
        training = self._config.training
        while self.step < training.steps:
            yield self.train_step()
            if self.step % training.save_every == 0 and self.step < training.steps:
                self.save()
        self.export()
        (self._output / STATE).unlink(missing_ok=True)

    def train_step(self) -> StepReport:
        """One step of the optimizer."""
        training = self._config.training
        rate = self._learning_rate()
        for group in self._optimizer.param_groups:
            group["lr"] = rate
        self.network.train()
        total, losses = 0.0, dict[str, list[float]]()
        for part in range(training.accumulate):
            batch = collate(self._draw(part), self.network.grammar)
            with self._autocast():
                one = loss(self.network, batch, self._config.loss, self._origin(part))
            (one.total / training.accumulate).backward()
            total += float(one.total.detach()) / training.accumulate
            for name, value in one.parts.items():
                losses.setdefault(name, []).append(value)
        nn.utils.clip_grad_norm_(self._trained.values(), training.clip)
        self._optimizer.step()
        self._optimizer.zero_grad(set_to_none=True)
        self.step += 1
        means = {name: sum(values) / len(values) for name, values in losses.items()}
        return StepReport(self.step, total, means)

    def save(self) -> None:
        """Write what a stopped run goes on from, whole or not at all."""
        self._output.mkdir(parents=True, exist_ok=True)
        part = self._output / f"{STATE}.part"
        torch.save(
            {
                "step": self.step,
                "trained": dict(self._trained),
                "optimizer": self._optimizer.state_dict(),
                "random": torch.get_rng_state(),
            },
            part,
        )
        part.replace(self._output / STATE)

    def export(self) -> None:
        """Write the network as a checkpoint of the published layout, with its profile and all else
        that the folder which it came from has to be run with."""
        source = self._config.path(self._config.network.folder)
        self._output.mkdir(parents=True, exist_ok=True)
        dtype = getattr(torch, Precision.of_dtype(self._config.network.dtype).dtype)
        tensors = merged_tensors(self.network.covo)
        part = self._output / "model.safetensors.part"
        save_file({name: t.to(dtype).contiguous() for name, t in tensors.items()}, part)
        part.replace(self._output / "model.safetensors")
        if self._output.samefile(source):
            return
        for name in ("config.json", FILE, TOKENIZER):
            shutil.copyfile(source / name, self._output / name)
        for name in (TOKEN2WAV, VOICES):
            if (source / name).is_dir():
                shutil.copytree(source / name, self._output / name, dirs_exist_ok=True)

    @property
    def _low(self) -> bool:
        return self._config.training.precision == "bfloat16"

    def _choose_trained(self, network: DuplexNetwork) -> dict[str, nn.Parameter]:
        training = self._config.training
        if training.lora_rank:
            add_lora(network.covo, training.lora_rank, training.lora_alpha)
        else:
            for name, parameter in network.covo.named_parameters():
                parameter.requires_grad_("embed_positions" not in name)
        return {n: p for n, p in network.covo.named_parameters() if p.requires_grad}

    def _resume(self) -> None:
        path = self._output / STATE
        try:
            state: dict[str, Any] = torch.load(path, map_location="cpu", weights_only=True)
            trained: dict[str, Tensor] = state["trained"]
            if trained.keys() != self._trained.keys():
                raise TrainingError(
                    f"{path} is of a run that trained something else; remove it to begin anew"
                )
            with torch.no_grad():
                for name, parameter in self._trained.items():
                    parameter.copy_(trained[name])
            self._optimizer.load_state_dict(state["optimizer"])
            torch.set_rng_state(state["random"])
            self.step = state["step"]
        except (OSError, RuntimeError, LookupError, EOFError, pickle.UnpicklingError) as error:
            reason = str(error).partition(".")[0]
            raise TrainingError(
                f"{path} cannot be resumed from ({reason}); remove it to begin anew"
            ) from error

    def _learning_rate(self) -> float:
        training = self._config.training
        if self.step < training.warm_up:
            return training.learning_rate * (self.step + 1) / training.warm_up
        done = (self.step - training.warm_up) / max(1, training.steps - training.warm_up)
        wave = 0.5 * (1 + cos(pi * done))
        return training.learning_rate * (_LOWEST_RATE + (1 - _LOWEST_RATE) * wave)

    def _draw(self, part: int) -> list[ChunkedDialogue]:
        """The batch of this step's ``part``: epochs are permutations, one after the other."""
        training, count = self._config.training, len(self._dialogues)
        first = (self.step * training.accumulate + part) * training.batch
        chosen = []
        for position in range(first, first + training.batch):
            epoch, place = divmod(position, count)
            order = np.random.default_rng((training.seed, epoch)).permutation(count)
            chosen.append(self._read(int(order[place])))
        return chosen

    def _read(self, index: int) -> ChunkedDialogue:
        if index not in self._kept:
            dialogue = self._dialogues[index]
            if not self._config.data.keep:
                return dialogue
            self._kept[index] = dialogue
        return self._kept[index]

    def _origin(self, part: int) -> int:
        """Where positions begin: anywhere, because a conversation may be anywhere in the period."""
        random = np.random.default_rng((self._config.training.seed, self.step, part))
        return int(random.integers(self.network.profile.encoder.position_period))

    def _autocast(self) -> AbstractContextManager[Any]:
        if not self._low:
            return nullcontext()
        return torch.autocast(self.network.device.type, torch.bfloat16)
