"""Weigh the features of an ending with trained weights: two logistic regressions for a language.

``covo train endings`` makes the files ``model/turns/languages/CODE.json``.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Mapping
from dataclasses import dataclass
from importlib import resources

import msgspec

from model.turns.endings.features import FILLER

_SHOWN = {
    "ends": "the sentence wants more words",
    "goes on": "the sentence wants more words",
    "pauses": "the sentence wants more words",
    "closes": "more may follow it",
    "mark asks": "it is no question",
    "mark states": "it has no full stop",
    "mark holds": "it ends like a part of a sentence",
    "open": "it ends with a word that opens a phrase",
    "spelt": "it ends with a number or letter",
    "question word": "it asks for nothing",
    "length": "of its length",
    "sentences": "of the sentences before it",
    "sound": "it sounds unfinished",
}
"""How a feature speaks against the end of a turn, for the user."""


@dataclass(frozen=True, slots=True)
class LogisticWeights:
    """``weights``: by feature. ``means``: the features of an average ending."""

    bias: float
    weights: dict[str, float]
    means: dict[str, float]

    def probability(self, values: Mapping[str, float]) -> float:
        """Return the probability of yes. Raises: KeyError."""
        total = self.bias + sum(weight * values[name] for name, weight in self.weights.items())
        return 1 / (1 + math.exp(-total))

    def against(self, values: Mapping[str, float]) -> str:
        """Return what speaks most against it."""
        pulls = {
            name: weight * (values[name] - self.means[name])
            for name, weight in self.weights.items()
        }
        return _SHOWN[min(pulls, key=pulls.__getitem__)]


@dataclass(frozen=True, slots=True)
class EndingWeights:
    """``whole``: whether words do not break off; ``over``: whether the turn is over with words that
    do not."""

    whole: LogisticWeights
    over: LogisticWeights

    def weigh(self, values: Mapping[str, float]) -> WeighedEnding:
        """Return both probabilities for an ending's features. Raises: KeyError."""
        if values[FILLER]:
            return WeighedEnding(0.0, 0.0, "it ends with a filler", "it ends with a filler")
        return WeighedEnding(
            self.whole.probability(values),
            self.over.probability(values),
            self.whole.against(values),
            self.over.against(values),
        )


@dataclass(frozen=True, slots=True)
class WeighedEnding:
    """Probabilities that the words do not break off (``whole``) and that the turn is then ``over``,
    and what speaks most against each."""

    whole: float
    over: float
    why_broken: str
    why_open: str


@dataclass(frozen=True, slots=True)
class LanguageWeights:
    """The weights of a language, for when a language model judges the words and for when not."""

    without_outlook: EndingWeights
    with_outlook: EndingWeights | None = None


@functools.cache
def weights_of(language: str) -> LanguageWeights | None:
    """Return the weights of ``language`` (a code such as ``en``), None if there are none."""
    file = resources.files("model.turns").joinpath("languages", f"{language}.json")
    return msgspec.json.decode(file.read_bytes(), type=LanguageWeights) if file.is_file() else None
