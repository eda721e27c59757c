"""Stage A: teach the encoder to hear in chunks what it hears in one piece.

The teacher is the encoder as it was: whole pieces, both directions, Whisper's own floor. The
student is the same weights run as a stream, with adapters (peft) in its layers; its convolutions
and the audio adapter are trained whole.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from copy import deepcopy
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import soundfile
import torch
from torch import Tensor, nn

from audio_io.clock import USER_RATE
from model.covo.language.features import log_mel
from model.covo.loading.assemble import TOKEN2WAV
from model.covo.loading.checkpoint import load_network
from model.covo.speech.voice_catalogue import VOICES
from model.duplex.making.distilling import Distilling, DistillingSettings
from model.duplex.network.network import TOKENIZER, DuplexNetwork, load_tokenizer
from model.duplex.protocol.profile import FILE, DuplexProfile, write_profile
from model.duplex.training.trained import merged_tensors
from model.duplex.training.whole import WEIGHTS, write_tensors
from model.errors import TrainingError
from voices.installation import add_extra

_LAYERS = r"encoder\.layers\.\d+\.(self_attn\.\w+_proj|fc[12])"
_FRONT = ("encoder.conv1.", "encoder.conv2.")
_ADAPTER = "audio_adapter."


@dataclass(frozen=True, slots=True)
class CausalSettings:
    """How to train, beside ``distilling``; rates are those of the encoder's adapters, its
    convolutions, and the audio adapter."""

    distilling: DistillingSettings
    piece_s: float
    lora_rank: int
    lora_alpha: int
    learning_rate: float
    frontend_rate: float
    adapter_rate: float


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
        self._source, self._profile = source, profile
        self._sounds, self._settings = sounds, settings
        covo = load_network(source, merge=False)  # the language model stays where it is
        self._dtype = covo.dtype
        torch.manual_seed(settings.distilling.seed)
        for part in (covo.encoder, covo.audio_adapter):
            nn.Module.to(part, device, torch.float32)
        encoder, adapter = deepcopy((covo.encoder, covo.audio_adapter))
        self._network = DuplexNetwork(covo, profile)
        load_tokenizer(source, profile)
        self._network.encoder.to(torch.device(device))
        _add_adapters(covo, settings)

        def teach(audio: Tensor) -> Tensor:
            mels = log_mel(audio, encoder.conv1.weight.shape[1], device)
            heard: Tensor = adapter(encoder(mels[None].to(device)).last_hidden_state)[0]
            return heard

        self._distilling = Distilling(
            covo,
            self._network.encoder,
            self._rate,
            teach,
            self._piece,
            settings.distilling,
            folder,
        )

    @property
    def step(self) -> int:
        """Return how many steps are done."""
        return self._distilling.step

    def run(self) -> Iterator[tuple[int, float]]:
        """Run the remaining steps; yield the number of each and its loss."""
        return self._distilling.run()

    def export(self, output: Path) -> tuple[str, ...]:
        """Write the student's first checkpoint: this encoder, the teacher's language model, and
        rows for the protocol's tokens that mean something from the start. Return its files.

        token2wav and the voices are links to the teacher's.
        """
        tensors = merged_tensors(self._network, self._dtype)
        self._begin_rows(tensors)
        write_tensors(output / WEIGHTS, tensors)
        write_profile(self._profile, output)
        copied = ("config.json", TOKENIZER)
        for name in copied:
            (output / name).write_bytes((self._source / name).read_bytes())
        for name in (TOKEN2WAV, VOICES):
            if (self._source / name).is_dir() and not (output / name).exists():
                (output / name).symlink_to((self._source / name).resolve())
        return (WEIGHTS, FILE, *copied)

    def _rate(self, name: str) -> float | None:
        """Return the highest learning rate of a parameter, None if it is not trained."""
        if name.startswith(_ADAPTER):
            return self._settings.adapter_rate
        if name.startswith(_FRONT):
            return self._settings.frontend_rate
        return self._settings.learning_rate if "lora_" in name else None

    def _piece(self, random: np.random.Generator) -> Tensor:
        """Return a random piece (whole chunks,) of a random sound, padded with silence."""
        chunk = self._profile.chunk_samples
        length = round(self._settings.piece_s * USER_RATE) // chunk * chunk
        path = self._sounds[int(random.integers(len(self._sounds)))]
        try:
            with soundfile.SoundFile(path) as file:
                first = int(random.integers(max(1, file.frames - length + 1)))
                file.seek(first)
                audio = file.read(length, dtype="float32", fill_value=0.0)
        except (OSError, soundfile.LibsndfileError) as error:
            raise TrainingError(f"cannot read {path}: {error}") from error
        return torch.from_numpy(audio)

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


def _add_adapters(covo: nn.Module, settings: CausalSettings) -> None:
    """Put adapters into the encoder's layers. Raises: TrainingError without the package peft."""
    try:
        from peft import LoraConfig, inject_adapter_in_model
    except ImportError as error:
        raise TrainingError(
            f"the encoder's adapters need the package peft: {add_extra('train')}"
        ) from error
    inject_adapter_in_model(
        LoraConfig(
            r=settings.lora_rank,
            lora_alpha=settings.lora_alpha,
            target_modules=_LAYERS,
            bias="none",
        ),
        covo,
    )
