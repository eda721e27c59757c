"""Read the TOML file of ``covo train duplex --config``.

Its tables are the fields of :class:`TrainingConfig`; ``covo train tones`` writes an example.
Paths are relative to the file.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Annotated, Literal

from msgspec import Meta

from model.duplex.training.dataset import Codec
from model.duplex.training.loss import LossWeights
from model.errors import TrainingError
from voices import strict_reader
from voices.folders import expanded

Count = Annotated[int, Meta(ge=1)]
NotNegative = Annotated[int, Meta(ge=0)]
Rate = Annotated[float, Meta(ge=0)]


@dataclass(frozen=True, slots=True)
class NetworkSection:
    """The network to train, and where to write it.

    Args:
        folder: a Covo-Audio checkpoint with a ``duplex.json``.
        output: where the result goes, replacing any weights, and where a stopped run resumes from.
        dtype: of the written weights.
    """

    folder: Path
    output: Path
    dtype: Literal["float32", "bfloat16", "float16"] = "bfloat16"


@dataclass(frozen=True, slots=True)
class DataSection:
    """The dialogues (:mod:`model.duplex.training.dataset`).

    Args:
        middle: the share of dialogues that begin at a random chunk, as a conversation does once its
            start is forgotten.
        overlap: how often a reply's tokens count under what it does not stop for.
        keep: hold all in memory.
        held_out: dialogues by which the network is judged while it is trained.
    """

    folder: Path
    codec: Codec = Codec.NONE
    middle: Annotated[float, Meta(ge=0, le=1)] = 0.0
    overlap: Annotated[float, Meta(ge=0)] = 2.0
    keep: bool = False
    held_out: Path | None = None


@dataclass(frozen=True, slots=True)
class ChatSection:
    """Half-duplex samples (:mod:`model.duplex.training.chat`), so that what the network could do is
    kept. ``share``: of all samples."""

    folder: Path
    share: Annotated[float, Meta(ge=0, le=1)] = 0.25


@dataclass(frozen=True, slots=True)
class TrainingSection:
    """How to train.

    Args:
        batch: samples in a batch.
        positions: instead, tokens in a batch at most: as many samples as fit, and of a longer
            dialogue what fits. 0: go by ``batch``.
        accumulate: batches in a step.
        warm_up: steps over which the learning rate rises; then it falls along a cosine to the
            share ``lowest_rate`` of it.
        encoder_rate, adapter_rate, rows_rate: learning rates of the encoder, the audio adapter, and
            the rows of the profile's tokens, where these are trained apart.
        teacher: of a token's loss, the share of the divergence from the teacher's opinion, where
            the dialogue has it.
        recompute: keep only the input of each layer, and compute the rest again for its gradients:
            a third more work for much less memory.
        precision: of the computation. Trained weights are always float32.
        optimizer: AdamW with its two moments in float32, or in 8 bits (package torchao).
        lora_rank: 0 trains everything. Otherwise LoRA adapters of this rank in the language model
            are trained, the audio adapter, and the rows of the profile's tokens.
        lora_alpha: scales the adapters by alpha / rank; twice the rank unless given.
        encoder_rank: of the encoder's LoRA adapters; 0: none. ``lora_rank`` unless given.
        judge_every: steps from one judgement along the held-out dialogues to the next; 0: none. The
            trained weights of the ``best`` steps are kept, and the best of them are the result.
    """

    steps: Count
    batch: Count = 8
    positions: NotNegative = 0
    accumulate: Count = 1
    learning_rate: Annotated[float, Meta(gt=0)] = 1e-4
    encoder_rate: Rate | None = None
    adapter_rate: Rate | None = None
    rows_rate: Rate | None = None
    warm_up: NotNegative = 100
    lowest_rate: Annotated[float, Meta(ge=0, le=1)] = 0.1
    weight_decay: Rate = 0.01
    clip: Annotated[float, Meta(gt=0)] = 1.0
    teacher: Annotated[float, Meta(ge=0, le=1)] = 0.5
    recompute: bool = False
    precision: Literal["float32", "bfloat16"] = "float32"
    optimizer: Literal["adamw", "adamw8bit"] = "adamw"
    lora_rank: NotNegative = 0
    lora_alpha: Count | None = None
    encoder_rank: NotNegative | None = None
    save_every: Count = 500
    judge_every: NotNegative = 0
    best: Count = 4
    seed: NotNegative = 0
    device: str = "cpu"


@dataclass(frozen=True, slots=True)
class TrainingConfig:
    """The whole file."""

    network: NetworkSection
    data: DataSection
    training: TrainingSection
    chat: ChatSection | None = None
    loss: LossWeights = field(default_factory=LossWeights)

    def __post_init__(self) -> None:
        if self.training.judge_every and self.data.held_out is None:
            raise ValueError("training.judge_every needs data.held_out, dialogues to judge by")

    @classmethod
    def read(cls, path: Path) -> TrainingConfig:
        """Read ``path`` and resolve its paths. Raises: TrainingError, naming file and key."""
        config = strict_reader.read(path, cls, TrainingError)

        def resolved(one: Path) -> Path:
            return path.parent / expanded(one)

        network, data, chat = config.network, config.data, config.chat
        folder, output = resolved(network.folder), resolved(network.output)
        return replace(
            config,
            network=replace(network, folder=folder, output=output),
            data=replace(
                data,
                folder=resolved(data.folder),
                held_out=data.held_out and resolved(data.held_out),
            ),
            chat=chat and replace(chat, folder=resolved(chat.folder)),
        )
