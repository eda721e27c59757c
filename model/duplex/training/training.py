"""Train a duplex network on a folder of dialogues, in resumable steps.

What a step sees depends only on the seed and on what the steps before it saw, so a resumed run
equals an uninterrupted one: weights, optimizer and generator states come from the checkpoint.
What is trained is the matter of :mod:`model.duplex.training.trained`.
"""

from __future__ import annotations

import shutil
from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass, replace
from math import cos, isfinite, pi
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import torch
from torch import Tensor

from model.covo.config.device import named_device
from model.covo.config.precision import Precision
from model.covo.loading.assemble import TOKEN2WAV
from model.covo.speech.voice_catalogue import VOICES
from model.duplex.network.network import TOKENIZER, load_duplex, load_tokenizer
from model.duplex.protocol.profile import FILE, ContextProfile, DuplexProfile, write_profile
from model.duplex.training.batch import collate
from model.duplex.training.chat import ChatFolder
from model.duplex.training.dataset import DialogueFolder
from model.duplex.training.inputs import changed, training_inputs
from model.duplex.training.judging.best import BestSteps
from model.duplex.training.learner import Learner
from model.duplex.training.stream import SampleStream
from model.duplex.training.trained import merged_tensors
from model.duplex.training.training_config import TrainingConfig
from model.duplex.training.whole import (
    UNREADABLE,
    WEIGHTS,
    remade,
    write_tensors,
    write_whole,
    written_whole,
)
from model.errors import TrainingError
from voices import strict_reader

STATE = "training.pt"
"""Checkpoint in the output folder from which a stopped run resumes; removed at the end."""
DONE = "done.json"
"""What the weights in the output folder were trained by, once they are complete."""


@dataclass(frozen=True, slots=True)
class StepReport:
    """The losses of step ``step`` (from 1). ``losses``: unweighted means by kind of token."""

    step: int
    loss: float
    losses: Mapping[str, float]


@dataclass(frozen=True, slots=True)
class _Done:
    """The configuration of a complete training, with bare names of folders, and its inputs."""

    config: dict[str, Any]
    inputs: dict[str, str]


def is_trained(config: TrainingConfig) -> bool:
    """Return whether the weights in the output folder are what ``config`` trains, wherever its
    folders lie. Inputs that are missing count as unchanged. Raises: OSError, TrainingError."""
    path = config.network.output / DONE
    if not path.is_file() or not (path.parent / WEIGHTS).is_file():
        return False
    done = strict_reader.read(path, _Done, TrainingError, remedy="delete it to train again")
    same = done.config == _described(config)
    return same and not changed(done.inputs, training_inputs(config))


def _described(config: TrainingConfig) -> Any:
    def name(path: Path) -> str:
        return path.name

    return msgspec.to_builtins(config, enc_hook=name)


class DuplexTrainer:
    """The training run of ``config``, resumed from its checkpoint if there is one.

    Raises: OSError; TrainingError, also if the checkpoint was begun with other inputs;
    NetworkConfigError, WeightsError.
    """

    def __init__(self, config: TrainingConfig) -> None:
        self._config = config
        training = config.training
        torch.manual_seed(training.seed)
        # Trained weights are float32; frozen ones may be smaller.
        low = training.lora_rank and training.precision == "bfloat16"
        held = Precision.BF16 if low else Precision.FP32
        folder = config.network.folder
        device = named_device(training.device)
        with self._of_source():
            self.network = load_duplex(folder, device=device, precision=held, merge=False)
        self._learner = Learner(self.network, training, config.loss)
        self._output = config.network.output
        self._inputs = training_inputs(config)
        self._stream, self.best = self._open_stream(), self._open_judged()
        self.step = 0
        if (self._output / STATE).is_file():
            self._resume()

    def run(self) -> Iterator[StepReport]:
        """Run the remaining steps, saving regularly, and export the trained checkpoint: that of the
        best step if the network is judged."""
        training = self._config.training
        if self.best is not None and not self.step:
            self.best.forget()
        while self.step < training.steps:
            yield self.train_step()
            last = self.step == training.steps
            if self.best is not None and (last or self.step % training.judge_every == 0):
                self._judge(self.best)
            if self.step % training.save_every == 0 and self.step < training.steps:
                self.save()
        if self.best is not None:
            self.best.take()
        self.export()
        # A network that is trained in place has become another.
        inputs = training_inputs(self._config) if self._in_place else self._inputs
        done = _Done(_described(self._config), inputs)
        write_whole(self._output / DONE, msgspec.json.encode(done) + b"\n")
        (self._output / STATE).unlink(missing_ok=True)

    def take(self, step: int) -> None:
        """Export the weights kept after ``step`` instead of the best. Raises: TrainingError."""
        if self.best is None:
            raise TrainingError("no weights are kept where training.judge_every is 0")
        self.best.take(step)
        self.export()

    def train_step(self) -> StepReport:
        """Run one step of the optimizer. Raises: TrainingError when its loss is not finite."""
        training = self._config.training
        self.network.train()
        done = [
            self._learner.gradients(collate(self._stream.draw()), self._origin(part))
            for part in range(training.accumulate)
        ]
        total = sum(float(one.total.detach()) for one in done) / training.accumulate
        if not isfinite(total):
            raise TrainingError(
                f"the loss of step {self.step + 1} is {total}; lower training.learning_rate, and "
                f"delete {self._output / STATE} if going on from it does not help"
            )
        self._learner.update(self._rate_share())
        losses: dict[str, list[float]] = {}
        for one in done:
            for name, value in one.parts.items():
                losses.setdefault(name, []).append(value)
        self.step += 1
        means = {name: sum(values) / len(values) for name, values in losses.items()}
        return StepReport(self.step, total, means)

    def save(self) -> None:
        """Write the checkpoint that a stopped run resumes from, atomically. Raises:
        TrainingError."""
        state = {
            "inputs": self._inputs,
            "step": self.step,
            "drawn": self._stream.drawn,
            "trained": dict(self._learner.trained),
            "optimizer": self._learner.optimizer.state_dict(),
            "random": torch.get_rng_state(),
        }
        with written_whole(self._output / STATE) as draft:
            torch.save(state, draft)

    def export(self) -> None:
        """Write a runnable checkpoint in the published layout: the network and, from the source
        folder, its profile, tokenizer, token2wav and voices. Raises: TrainingError."""
        source = self._config.network.folder
        dtype = getattr(torch, self._config.network.dtype)
        tensors = merged_tensors(self.network, dtype)
        weights = self._output / WEIGHTS
        write_tensors(weights, tensors)
        for old in self._output.glob("*.safetensors*"):  # the source's, if it was in shards
            if old != weights:
                old.unlink()
        try:
            if not self._in_place:
                for name in ("config.json", FILE, TOKENIZER):
                    shutil.copyfile(source / name, self._output / name)
                for name in (TOKEN2WAV, VOICES):
                    if (source / name).is_dir():
                        shutil.copytree(source / name, self._output / name, dirs_exist_ok=True)
            profile = self._profile_of_result()
            if profile != self.network.profile:
                write_profile(profile, self._output)
        except OSError as error:  # that of a folder has no cause of its own
            raise TrainingError(f"cannot copy {source} to {self._output}: {error}") from error

    @property
    def _in_place(self) -> bool:
        return self._output.samefile(self._config.network.folder)

    def _profile_of_result(self) -> DuplexProfile:
        """Return the profile with a memory that is no longer than what was trained: behind the
        last position that a network has seen, it fails."""
        profile, positions = self.network.profile, self._config.training.positions
        context, chunk = profile.context, len(profile.layout)
        window = max(positions - len(profile.prompt), 4 * chunk)
        if not positions or context.window <= window:
            return profile
        shorter = ContextProfile(window, min(context.evict, window // 2))
        return replace(profile, context=shorter)

    def _judge(self, best: BestSteps) -> None:
        low = self._config.training.precision == "bfloat16"
        with torch.autocast(self.network.device.type, torch.bfloat16, enabled=low):
            best.judge(self.step)

    def _of_source(self) -> AbstractContextManager[None]:
        folder = self._config.network.folder
        return remade(
            "network.folder must be a whole full-duplex checkpoint; for that of a work, delete "
            f"{folder} and run `covo fd encoder {folder.parent}`"
        )

    def _open_judged(self) -> BestSteps | None:
        training, held_out = self._config.training, self._config.data.held_out
        if not training.judge_every or held_out is None:
            return None
        dialogues = self._open_dialogues(held_out)
        # Adapters mean nothing on top of another network.
        source = self._inputs["network.folder"] if training.lora_rank else ""
        return BestSteps(
            self._output, training.best, self.network, self._learner.trained, dialogues, source
        )

    def _open_dialogues(self, folder: Path) -> DialogueFolder:
        data = self._config.data
        with self._of_source():
            tokenizer = load_tokenizer(self._config.network.folder, self.network.profile)
        return DialogueFolder(folder, self.network.grammar, tokenizer, data.codec, data.overlap)

    def _open_stream(self) -> SampleStream:
        config, grammar = self._config, self.network.grammar
        chat, dialogues = None, self._open_dialogues(config.data.folder)
        if config.chat is not None:
            chat = ChatFolder(config.chat.folder, grammar, self.network.covo.config)
        return SampleStream(config, grammar, dialogues, chat)

    def _resume(self) -> None:
        path = self._output / STATE
        try:
            state: dict[str, Any] = torch.load(path, map_location="cpu", weights_only=True)
            if others := changed(state["inputs"], self._inputs):
                raise TrainingError(
                    f"{path} was begun with another {' and '.join(others)}; delete it to start "
                    "over, or restore what it was begun with"
                )
            trained: dict[str, Tensor] = state["trained"]
            if trained.keys() != self._learner.trained.keys():
                raise TrainingError(
                    f"{path} belongs to a run that trained other weights; delete it to start over"
                )
            with torch.no_grad():
                for name, parameter in self._learner.trained.items():
                    parameter.copy_(trained[name])
            self._learner.optimizer.load_state_dict(state["optimizer"])
            torch.set_rng_state(state["random"])
            self.step, self._stream.drawn = state["step"], state["drawn"]
        except UNREADABLE as error:
            reason = str(error).partition(".")[0]
            raise TrainingError(
                f"cannot resume from {path} ({reason}); delete it to start over"
            ) from error

    def _rate_share(self) -> float:
        """Return the share of the learning rates that this step has."""
        training = self._config.training
        if self.step < training.warm_up:
            return (self.step + 1) / training.warm_up
        done = (self.step - training.warm_up) / max(1, training.steps - training.warm_up)
        wave = 0.5 * (1 + cos(pi * done))
        return training.lowest_rate + (1 - training.lowest_rate) * wave

    def _origin(self, part: int) -> int:
        """Draw the first position: a conversation may be anywhere in the period."""
        random = np.random.default_rng((self._config.training.seed, self.step, part))
        return int(random.integers(self.network.profile.encoder.position_period))
