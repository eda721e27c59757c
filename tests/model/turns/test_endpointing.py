"""When a turn is over: the judgement alone, without an engine."""

from __future__ import annotations

import pytest

from model.turns.endpointing import TurnEvidence, judge
from model.turns.phrases import Phrase, PhraseVerdict
from model.turns.turn_settings import PATIENCE, TurnSettings, with_patience

S = TurnSettings(
    silence=0.7,
    silence_finished=0.3,
    silence_statement=2.0,
    silence_unfinished=3.0,
    words_wait=0.5,
    sounds_over=0.5,
    sounds_open=0.2,
    sounds_cut=0.05,
)


@pytest.mark.parametrize(
    ("phrase", "probability", "needed"),
    [
        (Phrase.FINISHED, None, 0.3),
        (Phrase.FINISHED, 0.9, 0.3),
        (Phrase.FINISHED, 0.3, 0.3),  # neither over nor open
        (Phrase.FINISHED, 0.1, 0.7),
        (Phrase.FINISHED, 0.04, 3.0),
        (Phrase.STATEMENT, 0.9, 2.0),
        (Phrase.STATEMENT, 0.1, 2.0),
        (Phrase.UNFINISHED, None, 3.0),
        (Phrase.UNFINISHED, 0.99, 3.0),
        (Phrase.UNKNOWN, None, 0.7),
        (Phrase.UNKNOWN, 0.3, 0.7),
        (Phrase.UNKNOWN, 0.9, 0.3),
        (Phrase.UNKNOWN, 0.1, 1.5),
    ],
)
def test_each_kind_of_ending_has_its_silence(phrase, probability, needed):
    def over(silence: float) -> bool:
        words = PhraseVerdict(phrase, "the end")
        verdict = judge(TurnEvidence(silence, words, probability=probability), S)
        assert verdict.reason
        return verdict.over

    assert not over(needed - 0.02)
    assert over(needed)


def test_words_that_are_coming_are_waited_for_but_not_for_ever():
    assert not judge(TurnEvidence(1.18, words_coming=True, probability=0.99), S).over
    assert judge(TurnEvidence(1.2, words_coming=True), S).over


def test_a_statement_that_answers_a_question_is_finished():
    answer = PhraseVerdict(Phrase.STATEMENT)
    assert judge(TurnEvidence(0.3, answer, asked=True), S).over
    assert not judge(TurnEvidence(0.3, answer), S).over


def test_the_reason_names_the_words_or_the_sound():
    assert "“the”" in judge(TurnEvidence(0.5, PhraseVerdict(Phrase.UNFINISHED, "the")), S).reason
    assert (
        "10%" in judge(TurnEvidence(0.5, PhraseVerdict(Phrase.FINISHED), probability=0.1), S).reason
    )


def test_without_words_and_model_it_is_the_silence_alone():
    assert judge(TurnEvidence(0.7), S).over
    assert not judge(TurnEvidence(0.68), S).over
    assert judge(TurnEvidence(0.7), S).reason == "silence"


def test_presets_get_more_patient_in_every_number():
    eager, normal, patient = (PATIENCE[name] for name in ("eager", "normal", "patient"))
    for name in ("silence", "silence_finished", "silence_statement", "silence_unfinished"):
        assert getattr(eager, name) < getattr(normal, name) < getattr(patient, name)


def test_a_silence_that_is_set_holds_for_finished_turns_and_never_shortens_the_others():
    s = with_patience("normal", silence=2.5)
    assert (s.silence_finished, s.silence_statement, s.silence_unfinished) == (2.5, 2.5, 2.8)
    both = with_patience("eager", silence=1.0, silence_finished=0.1)
    assert (both.silence, both.silence_finished, both.speculate_after) == (1.0, 0.1, 0.1)
