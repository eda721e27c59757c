"""Read half-duplex samples: the network's original format, kept alive in the same weights.

Each is a JSON file, with a sound file of the same name if the user speaks in it::

    {"ids": [...], "learn": [[310, 402]]}

``ids`` are the tokens of the whole conversation as the half-duplex network has them, prompt and
blocks included, with one placeholder for each feature of the user's audio. The sound file has the
audio of all turns end to end, each padded to whole chunks. ``learn`` are the ranges to train on:
the replies with their ends. The user is heard by the encoder in chunks, as in a dialogue.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from model.covo.config.network_config import CovoConfig
from model.duplex.protocol.grammar import Grammar, Place
from model.duplex.protocol.sequence import USER_FEATURE
from model.duplex.training.dataset import SOUNDS, channels
from model.duplex.training.sample import ANY_TOKEN, NO_PLACE, Sample, TokenKind
from model.errors import TrainingError
from voices import strict_reader


@dataclass(frozen=True, slots=True)
class _ChatFile:
    ids: tuple[int, ...]
    learn: tuple[tuple[int, int], ...]


class ChatFolder:
    """The half-duplex samples in ``folder``, sorted by name and read on access.

    Raises: TrainingError if there are none.
    """

    def __init__(self, folder: Path, grammar: Grammar, config: CovoConfig) -> None:
        self._grammar = grammar
        self._config = config
        self._paths = sorted(folder.glob("*.json"))
        if not self._paths:
            raise TrainingError(f"no half-duplex samples in {folder}; expected .json files")

    def __len__(self) -> int:
        return len(self._paths)

    def __getitem__(self, index: int) -> Sample:
        """Read a sample. Raises: TrainingError, naming the file."""
        path = self._paths[index]
        read = strict_reader.read(path, _ChatFile, TrainingError, ignore_unknown=True)
        ids = np.array(read.ids, np.int64)
        if not len(ids) or ids.min() < 0 or ids.max() >= self._config.backbone.vocabulary:
            raise TrainingError(f"{path}: ids must be tokens of the network's vocabulary")
        heard = ids == self._config.placeholder
        size, features = self._grammar.profile.chunk_samples, self._grammar.profile
        audio = np.zeros((0, size), np.float32)
        sound = next((s for end in SOUNDS if (s := path.with_suffix(end)).is_file()), None)
        if sound is not None:
            user, _ = channels(sound)
            audio = np.pad(user, (0, -len(user) % size)).reshape(-1, size)
        if int(heard.sum()) != len(audio) * features.features_per_chunk:
            raise TrainingError(
                f"{path} has {int(heard.sum())} placeholders, but its sound {len(audio)} chunks of "
                f"{features.features_per_chunk} features"
            )
        learnt = np.zeros(len(ids), bool)
        for begin, end in read.learn:
            if not 1 <= begin < end <= len(ids):
                raise TrainingError(f"{path}: learn has {begin} to {end}, of {len(ids)} tokens")
            learnt[begin:end] = True
        codes = ids >= self._grammar.first_code
        return Sample(
            audio=audio,
            ids=np.where(heard, USER_FEATURE, ids),
            places=np.select([heard, learnt], [Place.USER, ANY_TOKEN], NO_PLACE).astype(np.int8),
            kinds=np.select(
                [learnt & codes, learnt], [TokenKind.SPEECH, TokenKind.TEXT], TokenKind.NONE
            ).astype(np.int8),
            weights=np.ones(len(ids), np.float32),
        )
