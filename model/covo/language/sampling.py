"""Choose a token from logits: penalties, a mask, then the best or a random one.

The order and meaning are those of transformers' ``generate``: penalties, mask, temperature, top-k,
top-p. All of it runs on the logits' device and never waits for it; the token stays there.

The published model is decoded with two penalties on repetition. The first applies to every id of
this turn, prompt, placeholders and generated tokens alike, once per id; the second to the last few
ids. Each divides a positive score and multiplies a negative one, so an id that both cover is
penalised twice. Earlier turns do not count.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from model.errors import NetworkInputError


@dataclass(frozen=True, slots=True)
class PenaltySettings:
    """The penalty for a turn's ids, and that for its last ``window`` ids; 1.0 turns one off."""

    repetition: float = 1.05
    windowed: float = 1.05
    window: int = 8

    def __post_init__(self) -> None:
        if min(self.repetition, self.windowed) <= 0 or self.window < 1:
            raise NetworkInputError(
                f"repetition penalties must be above 0 and their window at least 1, not "
                f"{self.repetition}, {self.windowed} and {self.window}"
            )


@dataclass(frozen=True, slots=True)
class SamplingSettings:
    """How a token is drawn. ``temperature`` 0 takes the best (greedy) and ignores the rest;
    ``top_k`` 0 and ``top_p`` 1.0 keep all. A ``seed`` gives the same reply on the same device.

    Unlike transformers, ``top_k`` never keeps more than k tokens, even if several tie.
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
        """Whether the best token is taken instead of a drawn one."""
        return self.temperature == 0


GREEDY = SamplingSettings()


class RepetitionPenalties:
    """The penalties' state over one turn: two masks and a ring of ids, updated in place without
    waiting for the device.

    ``prompt``: ids (n,) on the device of the scores; may be empty.
    """

    def __init__(self, settings: PenaltySettings, prompt: Tensor, vocabulary: int) -> None:
        self._settings = settings
        # One place more than there are ids: unused places of the ring point there.
        self._seen = torch.zeros(vocabulary + 1, dtype=torch.bool, device=prompt.device)
        self._in_window = torch.zeros_like(self._seen)
        self._seen.index_fill_(0, prompt, True)
        window = settings.window
        self._ring = torch.full((window,), vocabulary, dtype=torch.long, device=prompt.device)
        last = prompt[-window:]
        self._ring[window - len(last) :] = last
        self._oldest = 0

    def add(self, token: Tensor) -> None:
        """Count the generated ``token``, shape (1,)."""
        self._seen.index_fill_(0, token, True)
        self._ring[self._oldest : self._oldest + 1] = token
        self._oldest = (self._oldest + 1) % len(self._ring)

    def __call__(self, logits: Tensor) -> Tensor:
        """Return the scores for ``logits``, both (vocabulary,)."""
        scores = _penalise(logits, self._seen, self._settings.repetition)
        self._in_window.zero_().index_fill_(0, self._ring, True)
        return _penalise(scores, self._in_window, self._settings.windowed)


class TokenChooser:
    """Chooses the tokens of one reply and counts them for the penalties.

    ``prompt``: the ids of this turn (n,) on the network's device; may be empty.
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
        """Return ``logits`` (vocabulary,) after both penalties."""
        return self._penalties(logits)

    @torch.inference_mode()
    def choose(self, logits: Tensor, allowed: Tensor | None = None) -> Tensor:
        """Return the next token, int64 (1,), on the device.

        ``allowed``: bool (vocabulary,) on the device, with at least one set.
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
    """Draw one id, int64 (1,), from ``scores`` (vocabulary,)."""
    kept, ids = candidates(scores, settings)
    # The largest of p / Exponential(1) is a draw from p: torch.multinomial without its checks,
    # which would wait for the device.
    noise = torch.empty_like(kept).exponential_(generator=generator)
    winner = (kept / noise).argmax(dim=-1, keepdim=True)
    return winner if ids is None else ids[winner]


def candidates(scores: Tensor, settings: SamplingSettings) -> tuple[Tensor, Tensor | None]:
    """Return the candidates' probabilities and ids (None: every id in order). Candidates that
    top-p excludes have probability 0."""
    scores = scores / settings.temperature
    ids: Tensor | None = None
    if settings.top_k or settings.top_p < 1:
        scores, ids = scores.topk(min(settings.top_k or len(scores), len(scores)))
    probabilities = scores.softmax(dim=-1)
    if settings.top_p < 1:
        # Keep candidates until the more probable ones together reach top_p; the first always is.
        before = probabilities.cumsum(dim=-1) - probabilities
        probabilities = probabilities * (before < settings.top_p)
        probabilities = probabilities / probabilities.sum()
    return probabilities, ids


def _penalise(scores: Tensor, where: Tensor, penalty: float) -> Tensor:
    if penalty == 1.0:
        return scores
    lowered = torch.where(scores < 0, scores * penalty, scores / penalty)
    return torch.where(where[:-1], lowered, scores)
