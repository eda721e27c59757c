"""The two penalties on repetition that the published model is decoded with, as tensor operations.

Order: first the repetition penalty on every id of this turn (prompt, placeholders included, and
what was generated; each id once), then the windowed penalty on the ids among the last few. A
score is divided by the penalty, a negative one multiplied, so an id that both touch is hit twice.
Neither sees earlier turns.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor


@dataclass(frozen=True, slots=True)
class PenaltySettings:
    """1.0 turns a penalty off."""

    repetition: float = 1.05
    windowed: float = 1.05
    window: int = 8


class RepetitionPenalties:
    """The penalties' state over one turn; nothing here waits for the device.

    ``prompt``: ids of shape (n,), on the device of the scores.
    """

    def __init__(self, settings: PenaltySettings, prompt: Tensor, vocabulary: int) -> None:
        self._settings = settings
        self._recent = prompt[-settings.window :]
        self._seen = torch.zeros(vocabulary, dtype=torch.bool, device=prompt.device)
        self._seen[prompt] = True

    def add(self, token: Tensor) -> None:
        """Take note of a generated ``token``, shape (1,)."""
        self._seen[token] = True
        self._recent = torch.cat((self._recent, token))[-self._settings.window :]

    def __call__(self, logits: Tensor) -> Tensor:
        """The scores for ``logits``, both of shape (vocabulary,)."""
        scores = _penalise(logits, self._seen, self._settings.repetition)
        in_window = torch.zeros_like(self._seen).index_fill_(0, self._recent, True)
        return _penalise(scores, in_window, self._settings.windowed)


def _penalise(scores: Tensor, where: Tensor, penalty: float) -> Tensor:
    lowered = torch.where(scores < 0, scores * penalty, scores / penalty)
    return torch.where(where, lowered, scores)
