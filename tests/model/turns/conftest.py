"""Turn taking is tested with weights that are easy to reckon with, not with the trained ones."""

from __future__ import annotations

import pytest

from model.turns.endings.weights import EndingWeights, LanguageWeights, LogisticWeights


def logistic(bias: float, **weights: float) -> LogisticWeights:
    named = {name.replace("_", " "): weight for name, weight in weights.items()}
    return LogisticWeights(bias, named, dict.fromkeys(named, 0.0))


PLAIN = LanguageWeights(
    without_outlook=EndingWeights(
        whole=logistic(4, open=-8, mark_holds=-8), over=logistic(4, length=0)
    ),
    with_outlook=EndingWeights(
        whole=logistic(6, ends=2, sound=0.1), over=logistic(4, closes=2, sound=0.1)
    ),
)


@pytest.fixture(autouse=True)
def _plain_weights(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(
        "model.turns.end_of_turn.weights_of",
        lambda language: PLAIN if language in ("en", "zh") else None,
    )
