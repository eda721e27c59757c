"""The trained weights of the end of a turn, and the features they weigh."""

from __future__ import annotations

import pytest

from model.turns.endings.features import FILLER, TurnEnding, features
from model.turns.endings.models import Outlook
from model.turns.endings.weights import EndingWeights, weights_of
from model.turns.phrases import phrases_of

LANGUAGES = ("en", "zh")
ENDS = Outlook(ends=-0.2, pauses=-4.0, goes_on=-3.0, closes=-0.2)
GOES_ON = Outlook(ends=-8.0, pauses=-6.0, goes_on=-0.7, closes=-1.0)


def told(
    words: str, outlook: Outlook | None = None, sound: float | None = None
) -> dict[str, float]:
    return features(TurnEnding(words, outlook, sound), phrases_of("en"))


def test_features_are_what_is_written_and_heard():
    values = told("I went home. Could I, um,", GOES_ON, 0.02)
    assert (values["mark holds"], values["filler"], values["question word"]) == (1, 1, 0)
    assert values["length"] == pytest.approx(1.0986, abs=1e-3)
    assert values["sentences"] == pytest.approx(0.693, abs=1e-3)
    assert values["sound"] < -3
    assert values["ends"] == pytest.approx(-5.99, abs=0.01)  # less is not told apart


def test_what_is_unknown_speaks_neither_way():
    assert told("Yes.")["sound"] == 0.0
    assert "ends" not in told("Yes.")


@pytest.mark.parametrize("language", LANGUAGES)
def test_the_weights_are_for_the_features_there_are(language):
    weights = weights_of(language)
    phrases = phrases_of(language)
    pairs: list[tuple[EndingWeights | None, Outlook | None]] = [
        (weights.without_outlook, None),
        (weights.with_outlook, ENDS),
    ]
    for trained, outlook in pairs:
        if trained is None:
            continue
        names = features(TurnEnding("Yes.", outlook), phrases).keys()
        assert trained.over.weights.keys() == names - {FILLER}
        for head in (trained.whole, trained.over):
            assert head.weights.keys() == head.means.keys() <= names
            for name in head.weights:  # each can be told as a reason
                assert head.against({**head.means, name: -99 if head.weights[name] > 0 else 99})


def test_who_ends_with_a_filler_holds_the_floor():
    weighed = weights_of("en").with_outlook.weigh(told("I would like, um", ENDS, 0.99))
    assert weighed.whole == 0.0
    assert weighed.why_broken == "it ends with a filler"


def test_of_other_languages_nothing_is_known():
    assert weights_of("xx") is None


def test_the_outlook_tells_broken_words_from_whole_ones():
    weights = weights_of("en").with_outlook
    whole = weights.weigh(told("Could you turn it on?", ENDS, 0.95))
    broken = weights.weigh(told("Could you turn it on", GOES_ON, 0.6))
    assert whole.whole > 0.8
    assert broken.whole < 0.3
    assert "wants more words" in broken.why_broken


@pytest.mark.parametrize("language", LANGUAGES)
def test_a_sound_that_ends_speaks_for_whole_words(language):
    weights, phrases = weights_of(language).without_outlook, phrases_of(language)
    by_sound = [
        weights.weigh(features(TurnEnding("好。", None, sound), phrases)).whole
        for sound in (0.02, 0.5, 0.98)
    ]
    assert by_sound == sorted(set(by_sound))
