"""When a turn is over: the judgement alone, without an engine."""

from __future__ import annotations

from dataclasses import replace

import pytest

from model.turns.endings.weights import WeighedEnding
from model.turns.endpointing import TurnEnd, TurnEvidence, judge, needed
from model.turns.turn_settings import PATIENCE, TurnSettings, with_patience

S = TurnSettings(
    silence=0.7,
    silence_finished=0.3,
    silence_statement=1.0,
    silence_unfinished=3.0,
    words_wait=0.5,
    sounds_over=0.5,
    sounds_open=0.2,
    sounds_cut=0.05,
)


def weighed(whole: float, over: float) -> WeighedEnding:
    return WeighedEnding(whole, over, "of the sentence", "of the story")


@pytest.mark.parametrize(
    ("whole", "over", "silence", "end"),
    [
        (0.99, 0.99, 0.3, TurnEnd.FINISHED),
        (0.4, 0.74, 0.3, TurnEnd.FINISHED),
        (0.99, 0.2, 1.0, TurnEnd.STATEMENT),
        (0.99, 0.0, 1.0, TurnEnd.STATEMENT),
        (0.1, 0.99, 3.0, TurnEnd.UNFINISHED),
        (0.0, 0.0, 3.0, TurnEnd.UNFINISHED),
    ],
)
def test_each_kind_of_ending_has_its_silence(whole, over, silence, end):
    evidence = TurnEvidence(silence, weighed(whole, over), sound=0.5)
    assert judge(evidence, S).over
    assert not judge(TurnEvidence(silence - 0.02, weighed(whole, over)), S).over
    assert evidence.end is end


def test_the_surer_an_ending_the_shorter_the_silence():
    by_whole = [needed(TurnEvidence(0, weighed(p / 50, 0.9)), S)[0] for p in range(51)]
    by_over = [needed(TurnEvidence(0, weighed(0.9, p / 50)), S)[0] for p in range(51)]
    for silences in (by_whole, by_over):
        assert silences == sorted(silences, reverse=True)
        assert len(set(silences)) > 5


@pytest.mark.parametrize(
    ("sound", "silence"), [(None, 0.7), (0.3, 0.7), (0.9, 0.3), (0.1, 1.5), (0.04, 3.0)]
)
def test_of_unknown_words_the_sound_decides(sound, silence):
    assert judge(TurnEvidence(silence, sound=sound), S).over
    assert not judge(TurnEvidence(silence - 0.02, sound=sound), S).over
    assert TurnEvidence(0, sound=sound).probability == sound


@pytest.mark.parametrize(
    ("whole", "over", "silence"),
    [(0.0, 0.99, 3.0), (0.35, 0.99, 3.0), (0.9, 0.38, 3.0), (0.6, 0.99, 1.0), (0.99, 0.99, 1.0)],
)
def test_a_sound_that_is_cut_off_is_waited_for_longest_unless_words_surely_end(
    whole, over, silence
):
    cut = TurnEvidence(silence - 0.02, weighed(whole, over), sound=0.04)
    assert not judge(cut, S).over
    assert judge(replace(cut, silence=silence), S).over
    if whole:  # otherwise the words speak against the end, too
        assert judge(cut, S).reason == "it sounds cut off: 4%"
    assert judge(TurnEvidence(0.3, weighed(0.99, 0.99), sound=0.06), S).over


def test_the_likelier_the_words_end_a_turn_that_sounds_cut_off_the_shorter_the_silence():
    silences = [needed(TurnEvidence(0, weighed(p / 50, 0.9), sound=0.0), S)[0] for p in range(51)]
    assert silences == sorted(silences, reverse=True)
    assert len(set(silences)) > 5


@pytest.mark.parametrize(("pause", "silence"), [(0.0, 1.0), (0.29, 1.0), (0.3, 1.2), (2.0, 1.2)])
def test_whoever_paused_before_is_given_more_time_after_a_statement(pause, silence):
    said = TurnEvidence(silence - 0.02, weighed(0.99, 0.2), longest_pause=pause)
    assert not judge(said, S).over
    assert judge(replace(said, silence=silence), S).over
    assert judge(replace(said, silence=0.3, ending=weighed(0.99, 0.99)), S).over
    alike = replace(S, silence_unfinished=1.0)
    assert judge(replace(said, silence=1.0), alike).over


def test_whoever_went_on_before_is_given_more_time():
    assert judge(TurnEvidence(0.3, weighed(0.99, 0.99)), S).over
    resumed = TurnEvidence(0.98, weighed(0.99, 0.99), resumed=True)
    assert not judge(resumed, S).over
    assert judge(resumed, S).reason == "you went on before"


@pytest.mark.parametrize(("pause", "silence"), [(0.5, 1.0), (1.0, 1.2), (2.0, 2.4), (9.0, 3.0)])
def test_whoever_went_on_before_is_given_more_time_than_they_took(pause, silence):
    resumed = TurnEvidence(silence - 0.02, weighed(0.99, 0.99), resumed=True, longest_pause=pause)
    assert not judge(resumed, S).over
    assert judge(replace(resumed, silence=silence), S).over
    assert judge(replace(resumed, resumed=False), S).over


@pytest.mark.parametrize("sound", [None, 0.9])
def test_whoever_went_on_before_is_given_more_time_in_any_language(sound):
    said = TurnEvidence(1.0, sound=sound, unknown_language="de", longest_pause=0.9)
    assert judge(said, S).over
    assert not judge(replace(said, resumed=True), S).over
    assert judge(replace(said, resumed=True, silence=1.1), S).over


def test_words_that_are_coming_are_waited_for_but_not_for_ever():
    assert not judge(TurnEvidence(1.18, words_coming=True, sound=0.99), S).over
    assert judge(TurnEvidence(1.2, words_coming=True), S).over


def test_the_reason_is_what_speaks_most_against_the_end():
    assert judge(TurnEvidence(0.5, weighed(0.1, 0.9)), S).reason == (
        "broken off (90%): of the sentence"
    )
    assert judge(TurnEvidence(0.5, weighed(0.9, 0.1)), S).reason == (
        "more may follow (90%): of the story"
    )
    assert judge(TurnEvidence(0.5, sound=0.1), S).reason == "it sounds unfinished: 10%"
    assert judge(TurnEvidence(0.5), S).reason == "silence"
    unknown = TurnEvidence(0.5, sound=0.9, unknown_language="th")
    assert judge(unknown, S).reason.endswith("no word rules for the end of a turn in Thai")


def test_presets_get_more_patient_in_every_number():
    eager, normal, patient = (PATIENCE[name] for name in ("eager", "normal", "patient"))
    for name in ("silence", "silence_finished", "silence_statement", "silence_unfinished"):
        assert getattr(eager, name) < getattr(normal, name) < getattr(patient, name)


def test_a_silence_that_is_set_holds_for_finished_turns_and_never_shortens_the_others():
    s = with_patience("normal", silence=2.5)
    assert (s.silence_finished, s.silence_statement, s.silence_unfinished) == (2.5, 2.5, 2.8)
    both = with_patience("eager", silence=1.0, silence_finished=0.05)
    assert (both.silence, both.silence_finished, both.speculate_after) == (1.0, 0.05, 0.05)
