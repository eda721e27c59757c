"""Fit the weights to what was heard, and report how they do on what was held out."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from covo_cli.endings.collect import HeardExample
from covo_cli.endings.examples import CUT, Example
from covo_cli.evaluation.judging.statistics import Estimate, rate
from model.turns.endings.features import FILLER, TurnEnding, features
from model.turns.endings.weights import EndingWeights, LanguageWeights, LogisticWeights
from model.turns.endpointing import TurnEnd, TurnEvidence, needed
from model.turns.phrases import Phrases
from model.turns.turn_settings import TurnSettings

_STEPS = 60
_CUT = 0.4
"""Weight of an example that was cut at a random word: what is left may be whole."""
_ABOUT_MORE = "sentences"
"""A feature that tells whether more is to come, not whether words break off: only stories and
dictation have several sentences."""
_SHRINK = 2.0
"""Strength of the penalty on squared weights of standardised features."""


@dataclass(frozen=True, slots=True)
class Row:
    """One example: what was heard of it, and its features."""

    heard: HeardExample
    values: Mapping[str, float]


@dataclass(frozen=True, slots=True)
class KindOutcome:
    """What the weights make of the held-out examples of one kind.

    ``right``: whether they are whole and whether they are over. ``broken``: the share that is taken
    for broken off; ``waits``: quartiles of the silence that is waited for, in seconds.
    """

    kind: str
    right: tuple[bool, bool]
    broken: Estimate
    waits: tuple[float, float, float]


def fit(heard: Sequence[HeardExample], phrases: Phrases) -> LanguageWeights:
    """Fit the weights of a language to what is not held out."""
    without = _fit(_rows(heard, phrases, with_outlook=False))
    if any(one.outlook is None for one in heard):
        return LanguageWeights(without)
    return LanguageWeights(without, _fit(_rows(heard, phrases, with_outlook=True)))


def outcomes(
    heard: Sequence[HeardExample], phrases: Phrases, weights: EndingWeights, settings: TurnSettings
) -> Iterator[KindOutcome]:
    """Judge what is held out, as it was understood, by ``weights``, kind by kind."""
    kinds: dict[tuple[str, bool, bool], list[TurnEvidence]] = defaultdict(list)
    with_outlook = "ends" in weights.whole.weights
    for row in _rows(heard, phrases, with_outlook=with_outlook, as_written=False):
        example = row.heard.example
        if example.held_out:
            evidence = TurnEvidence(0.0, weights.weigh(row.values))
            kinds[example.kind, example.whole, example.over].append(evidence)
    for (kind, *right), found in sorted(kinds.items()):
        broken = sum(evidence.end is TurnEnd.UNFINISHED for evidence in found)
        waits = np.percentile([needed(one, settings)[0] for one in found], (25, 50, 75))
        yield KindOutcome(
            kind, (right[0], right[1]), rate(broken, len(found)), tuple(waits.tolist())
        )


def _rows(
    heard: Iterable[HeardExample],
    phrases: Phrases,
    *,
    with_outlook: bool,
    as_written: bool = True,
) -> list[Row]:
    """Return the features of what was ``heard``, without examples of which nothing was.

    What is not cut is there a second time ``as_written``, because recognisers differ in what they
    make of fillers and broken words. Half of that is without its last mark, which some recognisers
    do not write.
    """
    found = []
    for one in (one for one in heard if one.words):
        read = [(one.words, one.outlook)]
        if as_written and one.example.kind != CUT:
            marked = one.example.digest % 2
            text = one.example.text if marked else one.example.text.rstrip(".?!…,-—。？！，")
            read.append((text, one.written))
        for words, outlook in read:
            if outlook is not None or not with_outlook:
                ending = TurnEnding(words, outlook if with_outlook else None, one.sound)
                found.append(Row(one, features(ending, phrases)))
    return found


def _fit(found: Sequence[Row]) -> EndingWeights:
    training = [row for row in found if not row.heard.example.held_out]
    whole = [row for row in training if row.heard.example.whole]
    names = sorted(found[0].values.keys() - {FILLER})
    return EndingWeights(
        whole=_logistic(
            training,
            [name for name in names if name != _ABOUT_MORE],
            lambda example: example.whole,
        ),
        over=_logistic(whole, names, lambda example: example.over),
    )


def _logistic(
    found: Sequence[Row], names: Sequence[str], right: Callable[[Example], bool]
) -> LogisticWeights:
    """Fit logistic regression with both classes of equal weight, by Newton's method."""
    x = np.array([[row.values[name] for name in names] for row in found])
    y = np.array([right(row.heard.example) for row in found], np.float64)
    mean, spread = x.mean(0), np.maximum(x.std(0), 1e-3)
    z = np.column_stack([(x - mean) / spread, np.ones(len(x))])
    importance = np.array([_CUT if row.heard.example.kind == CUT else 1.0 for row in found])
    importance *= np.where(y == 1, 0.5 / y.mean(), 0.5 / (1 - y.mean()))
    shrink = np.diag([*np.full(len(names), _SHRINK), 0.0])
    w = np.zeros(len(names) + 1)
    for _ in range(_STEPS):
        p = 1 / (1 + np.exp(-z @ w))
        gradient = z.T @ (importance * (p - y)) + shrink @ w
        curvature = (z.T * (importance * p * (1 - p))) @ z + shrink
        w -= np.linalg.solve(curvature, gradient)
    weights = w[:-1] / spread
    bias = float(w[-1] - weights @ mean)
    return LogisticWeights(
        round(bias, 3),
        {name: round(float(v), 3) for name, v in zip(names, weights, strict=True)},
        {name: round(float(v), 3) for name, v in zip(names, mean, strict=True)},
    )
