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

from model.errors import NetworkInputError


@dataclass(frozen=True, slots=True)
class PenaltySettings:
    """1.0 turns a penalty off."""

    repetition: float = 1.05
    windowed: float = 1.05
    window: int = 8

    def __post_init__(self) -> None:
        if min(self.repetition, self.windowed) <= 0 or self.window < 1:
            raise NetworkInputError(
                f"the penalties ({self.repetition} and {self.windowed}) must be above 0, and the "
                f"window ({self.window}) at least 1"
            )


class RepetitionPenalties:
    """The penalties' state over one turn: two masks and a ring of ids, changed in place; nothing
    here waits for the device.

    ``prompt``: ids of shape (n,), on the device of the scores; it may be empty.
    """

    def __init__(self, settings: PenaltySettings, prompt: Tensor, vocabulary: int) -> None:
        self._settings = settings
        # One place more than there are ids: what the ring holds while it is not yet full.
        self._seen = torch.zeros(vocabulary + 1, dtype=torch.bool, device=prompt.device)
        self._in_window = torch.zeros_like(self._seen)
        self._seen.index_fill_(0, prompt, True)
        window = settings.window
        self._ring = torch.full((window,), vocabulary, dtype=torch.long, device=prompt.device)
        last = prompt[-window:]
        self._ring[window - len(last) :] = last
        self._oldest = 0

    def add(self, token: Tensor) -> None:
        """Take note of a generated ``token``, shape (1,)."""
        self._seen.index_fill_(0, token, True)
        self._ring[self._oldest : self._oldest + 1] = token
        self._oldest = (self._oldest + 1) % len(self._ring)

    def __call__(self, logits: Tensor) -> Tensor:
        """The scores for ``logits``, both of shape (vocabulary,)."""
        scores = _penalise(logits, self._seen, self._settings.repetition)
        self._in_window.zero_().index_fill_(0, self._ring, True)
        return _penalise(scores, self._in_window, self._settings.windowed)


def _penalise(scores: Tensor, where: Tensor, penalty: float) -> Tensor:
    if penalty == 1.0:
        return scores
    lowered = torch.where(scores < 0, scores * penalty, scores / penalty)
    return torch.where(where[:-1], lowered, scores)
