"""Choosing a token from logits: penalties, a mask, then the best or a drawn one.

In the order and with the meaning that transformers' ``generate`` gives them: penalties, mask,
temperature, top-k, top-p. Everything happens on the device of the logits, and nothing waits for
it; the token stays there until somebody reads it.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from model.covo.language.penalties import PenaltySettings, RepetitionPenalties
from model.errors import NetworkInputError


@dataclass(frozen=True, slots=True)
class SamplingSettings:
    """How a token is drawn. ``temperature`` 0 takes the best one (greedy), and the rest is
    ignored. ``top_k`` 0 and ``top_p`` 1.0 keep all. One ``seed`` gives one reply on one device.

    Different from transformers: of tokens that tie at the k-th place, only as many as fit are
    kept.
    """

    temperature: float = 0.0
    top_p: float = 1.0
    top_k: int = 0
    seed: int = 0

    def __post_init__(self) -> None:
        if not 0 <= self.temperature < float("inf"):
            raise NetworkInputError(f"temperature {self.temperature} must be 0 (greedy) or above")
        if not 0 < self.top_p <= 1:
            raise NetworkInputError(f"top_p {self.top_p} must be above 0 and at most 1 (off)")
        if self.top_k < 0:
            raise NetworkInputError(f"top_k {self.top_k} must be 0 (off) or above")

    @property
    def greedy(self) -> bool:
        """Whether nothing is drawn."""
        return self.temperature == 0


GREEDY = SamplingSettings()


class TokenChooser:
    """Chooses the tokens of one reply, and remembers them for the penalties.

    ``prompt``: the ids of this turn, shape (n,), on the network's device; may be empty.
    """

    def __init__(
        self,
        prompt: Tensor,
        vocabulary: int,
        *,
        penalties: PenaltySettings,
        sampling: SamplingSettings,
    ) -> None:
        self._penalties = RepetitionPenalties(penalties, prompt, vocabulary)
        self._sampling = sampling
        self._generator: torch.Generator | None = None
        if not sampling.greedy:
            self._generator = torch.Generator(prompt.device).manual_seed(sampling.seed)

    @torch.inference_mode()
    def scores(self, logits: Tensor) -> Tensor:
        """``logits`` (vocabulary,) after both penalties."""
        return self._penalties(logits)

    @torch.inference_mode()
    def choose(self, logits: Tensor, allowed: Tensor | None = None) -> Tensor:
        """The next token, int64, shape (1,), on the device.

        ``allowed``: bool, shape (vocabulary,), on the device; at least one must be true.
        """
        scores = self.scores(logits)
        if allowed is not None:
            scores = scores.masked_fill(~allowed, -torch.inf)
        if self._sampling.greedy:
            token = scores.argmax(dim=-1, keepdim=True)
        else:
            token = draw(scores, self._sampling, self._generator)
        self._penalties.add(token)
        return token


def draw(scores: Tensor, settings: SamplingSettings, generator: torch.Generator | None) -> Tensor:
    """One id, int64, shape (1,), drawn from ``scores`` (vocabulary,)."""
    kept, ids = candidates(scores, settings)
    # The largest of p / Exponential(1) is a draw from p: torch.multinomial without its checks,
    # which would wait for the device.
    noise = torch.empty_like(kept).exponential_(generator=generator)
    winner = (kept / noise).argmax(dim=-1, keepdim=True)
    return winner if ids is None else ids[winner]


def candidates(scores: Tensor, settings: SamplingSettings) -> tuple[Tensor, Tensor | None]:
    """The probabilities of what may be drawn, with the ids they belong to (None: all in order).
    What top-p leaves out has probability 0."""
    scores = scores / settings.temperature
    ids: Tensor | None = None
    if settings.top_k or settings.top_p < 1:
        scores, ids = scores.topk(min(settings.top_k or len(scores), len(scores)))
    probabilities = scores.softmax(dim=-1)
    if settings.top_p < 1:
        # Kept until the more probable ones together reach top_p: the first always is.
        before = probabilities.cumsum(dim=-1) - probabilities
        probabilities = probabilities * (before < settings.top_p)
        probabilities = probabilities / probabilities.sum()
    return probabilities, ids
