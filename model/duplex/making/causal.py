"""Stage A: teach the encoder to hear in chunks what it hears in one piece.

The teacher is the encoder as it was: whole pieces, both directions, Whisper's own floor. The
student is the same weights run as a stream, with adapters (peft) in its layers; its convolutions
and the audio adapter are trained whole. What a step hears depends only on the seed and its number.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from copy import deepcopy
from dataclasses import dataclass
from math import cos, pi
from pathlib import Path

import numpy as np
import soundfile
import torch
from safetensors.torch import save_file
from torch import Tensor, nn
from torch.nn import functional

from audio_io.clock import USER_RATE
from model.covo.language.features import log_mel
from model.covo.loading.assemble import TOKEN2WAV
from model.covo.loading.checkpoint import load_network
from model.covo.speech.voice_catalogue import VOICES
from model.duplex.network.network import TOKENIZER, DuplexNetwork, load_tokenizer
from model.duplex.protocol.profile import DuplexProfile, write_profile
from model.duplex.training.trained import merged_tensors
from model.errors import TrainingError

STATE = "training.pt"
_LAYERS = r"encoder\.layers\.\d+\.(self_attn\.\w+_proj|fc[12])"
_FRONT = ("encoder.conv1.", "encoder.conv2.")
_ADAPTER = "audio_adapter."
_LOWEST_RATE = 0.1
_CLIP = 1.0


@dataclass(frozen=True, slots=True)
class CausalSettings:
    """How to train; rates are those of the encoder's adapters, its convolutions, and the audio
    adapter. ``cosine``: weight of the angle between features beside their squared distance."""

    steps: int
    pieces: int
    piece_s: float
    lora_rank: int
    lora_alpha: int
    learning_rate: float
    frontend_rate: float
    adapter_rate: float
    warm_up: int
    cosine: float
    save_every: int
    seed: int


class CausalTrainer:
    """Trains the encoder of the half-duplex checkpoint in ``source`` on ``sounds`` (16 kHz).

    ``folder`` holds what a stopped run goes on from. Raises: TrainingError, NetworkConfigError,
    WeightsError.
    """

    def __init__(
        self,
        source: Path,
        profile: DuplexProfile,
        folder: Path,
        sounds: Sequence[Path],
        settings: CausalSettings,
        device: str,
    ) -> None:
        self._source, self._profile, self._folder = source, profile, folder
        self._sounds, self._settings = sounds, settings
        covo = load_network(source, merge=False)  # the language model stays where it is
        self._dtype = covo.dtype
        torch.manual_seed(settings.seed)
        for part in (covo.encoder, covo.audio_adapter):
            nn.Module.to(part, device, torch.float32)
        self._teacher = deepcopy((covo.encoder, covo.audio_adapter))
        covo.requires_grad_(False)
        self._network = DuplexNetwork(covo, profile)
        load_tokenizer(source, profile)
        self._device = torch.device(device)
        self._network.encoder.to(self._device)
        self._optimizer = torch.optim.AdamW(
            self._choose_trained(), betas=(0.9, 0.98), weight_decay=0.0
        )
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

    def export(self, output: Path) -> None:
        """Write the student's first checkpoint: this encoder, the teacher's language model, and
        rows for the protocol's tokens that mean something from the start.

        token2wav and the voices are links to the teacher's.
        """
        output.mkdir(parents=True, exist_ok=True)
        tensors = merged_tensors(self._network)
        self._begin_rows(tensors)
        weights = output / "model.safetensors"
        part = weights.with_suffix(".part")
        save_file(
            {name: t.to("cpu", self._dtype).contiguous() for name, t in tensors.items()}, part
        )
        part.replace(weights)
        write_profile(self._profile, output)
        for name in ("config.json", TOKENIZER):
            (output / name).write_bytes((self._source / name).read_bytes())
        for name in (TOKEN2WAV, VOICES):
            if (self._source / name).is_dir() and not (output / name).exists():
                (output / name).symlink_to((self._source / name).resolve())

    def _choose_trained(self) -> list[dict[str, object]]:
        try:
            from peft import LoraConfig, inject_adapter_in_model
        except ImportError as error:
            raise TrainingError(
                "the encoder's adapters need the package peft: pip install 'covo[train]'"
            ) from error
        covo, settings = self._network.covo, self._settings
        inject_adapter_in_model(
            LoraConfig(
                r=settings.lora_rank,
                lora_alpha=settings.lora_alpha,
                target_modules=_LAYERS,
                bias="none",
            ),
            covo,
        )
        groups: dict[float, list[nn.Parameter]] = {}
        for name, parameter in covo.named_parameters():
            rate = settings.learning_rate if "lora_" in name else None
            rate = settings.frontend_rate if name.startswith(_FRONT) else rate
            rate = settings.adapter_rate if name.startswith(_ADAPTER) else rate
            parameter.requires_grad_(rate is not None)
            if rate is not None:
                groups.setdefault(rate, []).append(parameter)
        return [{"params": group, "lr": rate, "highest": rate} for rate, group in groups.items()]

    def _train_step(self) -> float:
        settings, total = self._settings, 0.0
        for group in self._optimizer.param_groups:
            group["lr"] = group["highest"] * self._rate()
        random = np.random.default_rng((settings.seed, 4, self.step))
        origin = int(random.integers(self._profile.encoder.position_period))
        for _ in range(settings.pieces):
            audio = self._piece(random)
            loss = self._loss(audio, origin) / settings.pieces
            loss.backward()
            total += float(loss.detach())
        trained = [p for group in self._optimizer.param_groups for p in group["params"]]
        nn.utils.clip_grad_norm_(trained, _CLIP)
        self._optimizer.step()
        self._optimizer.zero_grad(set_to_none=True)
        self.step += 1
        return total

    def _loss(self, audio: Tensor, origin: int) -> Tensor:
        encoder, adapter = self._teacher
        with torch.no_grad():
            mels = log_mel(audio, encoder.conv1.weight.shape[1], self._device)
            wanted = adapter(encoder(mels[None].to(self._device)).last_hidden_state)[0]
        state = self._network.encoder.start(1, origin)
        heard, _ = self._network.encoder(state, audio[None].to(self._device))
        count = min(heard.shape[1], len(wanted))
        heard, wanted = heard[0, :count], wanted[:count]
        angle = 1 - functional.cosine_similarity(heard, wanted, dim=-1).mean()
        return functional.mse_loss(heard, wanted) + self._settings.cosine * angle

    def _piece(self, random: np.random.Generator) -> Tensor:
        """Return a random piece (whole chunks,) of a random sound, padded with silence."""
        chunk = self._profile.chunk_samples
        length = round(self._settings.piece_s * USER_RATE) // chunk * chunk
        path = self._sounds[int(random.integers(len(self._sounds)))]
        with soundfile.SoundFile(path) as file:
            first = int(random.integers(max(1, file.frames - length + 1)))
            file.seek(first)
            audio = file.read(length, dtype="float32", fill_value=0.0)
        return torch.from_numpy(audio)

    def _rate(self) -> float:
        settings = self._settings
        if self.step < settings.warm_up:
            return (self.step + 1) / settings.warm_up
        done = (self.step - settings.warm_up) / max(1, settings.steps - settings.warm_up)
        return _LOWEST_RATE + (1 - _LOWEST_RATE) * 0.5 * (1 + cos(pi * done))

    def _begin_rows(self, tensors: dict[str, Tensor]) -> None:
        """Let THINK and the filler begin as the mean of the text's rows, SHIFT as the row of
        "assistant", BREAK as that of the end of a block."""
        tokenizer = load_tokenizer(self._source, self._profile)
        tokens = self._profile.tokens
        rows = {
            tokens.shift.id: tokenizer.encode("assistant", add_special_tokens=False).ids[0],
            tokens.stop.id: tokenizer.token_to_id("<|im_end|>"),
        }
        for name in ("llm.model.embed_tokens.weight", "llm.lm_head.weight"):
            matrix = tensors[name] = tensors[name].clone()
            mean = matrix[: self._profile.text_vocabulary].float().mean(dim=0).to(matrix)
            for token in (tokens.think.id, tokens.text_filler.id, tokens.speech_filler.id):
                matrix[token] = mean
            for token, source in rows.items():
                matrix[token] = matrix[source]

    def _save(self) -> None:
        part = self._state.with_suffix(".part")
        trained = {n: p for n, p in self._network.covo.named_parameters() if p.requires_grad}
        torch.save(
            {"step": self.step, "trained": trained, "optimizer": self._optimizer.state_dict()},
            part,
        )
        part.replace(self._state)

    def _resume(self) -> None:
        try:
            state = torch.load(self._state, map_location="cpu", weights_only=True)
            parameters = dict(self._network.covo.named_parameters())
            with torch.no_grad():
                for name, values in state["trained"].items():
                    parameters[name].copy_(values)
            self._optimizer.load_state_dict(state["optimizer"])
            self.step = state["step"]
        except (OSError, RuntimeError, LookupError, EOFError) as error:
            raise TrainingError(f"cannot go on from {self._state}; delete its folder") from error
