"""Draw samples: an endless sequence that depends on the seed alone, and packs of it."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache

import numpy as np

from model.duplex.protocol.grammar import Grammar
from model.duplex.training.chat import ChatFolder
from model.duplex.training.dataset import DialogueFolder
from model.duplex.training.sample import Sample, TokenKind, beginning, section
from model.duplex.training.training_config import TrainingConfig
from model.errors import TrainingError


class SampleStream:
    """The samples of ``config``'s folders in their order: dialogues, and spread evenly among them
    the half-duplex share. Each epoch of either is a permutation. ``drawn`` samples are taken."""

    def __init__(
        self,
        config: TrainingConfig,
        grammar: Grammar,
        dialogues: DialogueFolder,
        chat: ChatFolder | None,
    ) -> None:
        self._config = config
        self._grammar = grammar
        keep, seed = config.data.keep, config.training.seed
        self._dialogues = _Shuffled(dialogues, keep=keep, seed=seed)
        self._chat = None if chat is None else _Shuffled(chat, keep=keep, seed=seed)
        self._share = 0.0 if config.chat is None else config.chat.share
        self.drawn = 0

    def draw(self) -> list[Sample]:
        """Return the next batch. Raises: TrainingError."""
        training = self._config.training
        pack: list[Sample] = []
        used = 0
        while training.positions or len(pack) < training.batch:
            sample = self._at(self.drawn)
            used += len(sample.ids)
            if pack and training.positions and used > training.positions:
                break
            pack.append(sample)
            self.drawn += 1
        return pack

    def _at(self, number: int) -> Sample:
        """Return sample ``number``, cut to what fits."""
        longest = self._config.training.positions
        chats = int(number * self._share)
        if self._chat is not None and int((number + 1) * self._share) > chats:
            sample = self._chat[chats]
            if longest:
                sample = beginning(sample, self._grammar, longest)
                if (sample.kinds == TokenKind.NONE).all():
                    raise TrainingError(
                        f"the first reply of a half-duplex sample begins behind {longest} tokens; "
                        "raise training.positions"
                    )
            return sample
        sample = self._dialogues[number - chats]
        random = np.random.default_rng((self._config.training.seed, number, 1))
        first = 0
        if random.random() < self._config.data.middle:
            first = int(random.integers(len(sample.audio)))
        return section(sample, self._grammar, first, longest or None)


class _Shuffled:
    """Endless epochs of ``samples``, each a permutation. ``keep``: in memory."""

    def __init__(self, samples: DialogueFolder | ChatFolder, *, keep: bool, seed: int) -> None:
        read = samples.__getitem__
        self._read: Callable[[int], Sample] = cache(read) if keep else read
        self._count = len(samples)
        self._seed = seed

    def __getitem__(self, number: int) -> Sample:
        epoch, place = divmod(number, self._count)
        order = np.random.default_rng((self._seed, epoch)).permutation(self._count)
        return self._read(int(order[place]))
