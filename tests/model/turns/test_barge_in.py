"""What speech over a reply is: the judgement alone, without an engine."""

from __future__ import annotations

from dataclasses import replace

import pytest

from model.turns.barge_in import WORDS_WAIT_S, Act, OverlapEvidence, judge
from model.turns.phrases import OverlapWords, phrases_of
from model.turns.turn_settings import TurnSettings

S = TurnSettings(
    barge_in_confirm=0.3,
    barge_in_limit=1.2,
    barge_in_release=0.4,
    barge_in_quiet=9.0,
    barge_in_below=12.0,
)


def told(text: str) -> OverlapWords:
    return phrases_of("en").over_a_reply(text)


def act(voiced: float, silence: float = 0.0, text: str | None = None, **more: object) -> Act:
    if text is None:
        return judge(OverlapEvidence(voiced, silence, **more), S).act
    more = {"words_until": voiced, "recognized": True, **more}
    return judge(OverlapEvidence(voiced, silence, words=told(text), **more), S).act


def test_by_length_alone():
    assert act(0.28) is Act.WAIT
    assert act(0.3) is Act.STOP
    assert act(0.2, silence=0.38) is Act.WAIT
    assert act(0.2, silence=0.4) is Act.RESUME


def test_while_the_words_may_come_the_reply_is_held():
    assert act(0.28, recognized=True) is Act.WAIT
    assert act(0.3, recognized=True) is Act.HOLD
    assert act(1.18, recognized=True) is Act.HOLD
    assert act(1.2, recognized=True) is Act.STOP


@pytest.mark.parametrize("text", ["Stop.", "No!", "wait", "Yeah, but", "What about the other one"])
def test_an_interruption_stops_it_however_short(text):
    assert act(0.32, text=text) is Act.STOP


def test_two_words_are_waited_out_and_three_are_not():
    assert act(0.6, text="banana bread") is Act.HOLD
    assert act(0.6, silence=0.2, text="banana bread") is Act.STOP
    assert act(0.6, text="banana bread please") is Act.STOP


def test_one_unknown_word_is_a_sound_unless_it_is_long():
    assert act(0.5, silence=0.2, text="mamo") is Act.RESUME
    assert act(0.8, silence=0.2, text="banana") is Act.STOP


def test_one_word_is_enough_where_the_turn_may_not_have_been_over():
    assert act(0.4, silence=0.2, text="tomorrow", goes_on=True) is Act.STOP
    assert act(0.4, silence=0.2, text="", goes_on=True) is Act.RESUME
    assert act(0.4, silence=0.2, text="yeah", goes_on=True) is Act.RESUME


def test_a_reply_that_has_only_just_begun_stands_still_at_the_first_sound():
    assert act(0.08, recognized=True, goes_on=True) is Act.HOLD
    assert act(0.08, recognized=True) is Act.WAIT
    assert act(0.08, silence=0.4, recognized=True, goes_on=True) is Act.RESUME
    assert act(0.08, recognized=True, goes_on=True, level=-10.0) is Act.WAIT


def test_the_assistant_s_own_words_are_an_echo():
    reply = "It is a long way, but the train stops there."
    own = phrases_of("en").over_a_reply("Stops there", reply)
    speech = OverlapEvidence(0.5, 0.3, recognized=True, words=own, words_until=0.5)
    assert judge(speech, S).act is Act.RESUME
    other = phrases_of("en").over_a_reply("Stop there", reply)
    assert judge(replace(speech, words=other), S).act is Act.STOP


def test_words_from_too_little_sound_count_for_nothing_while_it_goes_on():
    assert act(0.3, text="no", words_until=0.28) is Act.HOLD
    assert act(0.28, silence=0.2, text="no") is Act.STOP


@pytest.mark.parametrize("text", ["Mm-hmm.", "Yeah, right.", ""])
def test_a_backchannel_or_no_words_let_it_go_on_once_they_are_over(text):
    assert act(0.5, text=text) is Act.HOLD
    assert act(0.5, silence=0.2, text=text) is Act.RESUME


def test_words_that_are_not_all_of_it_decide_nothing():
    assert act(0.6, silence=0.2, text="yeah", words_until=0.3) is Act.HOLD


def test_laughter_is_waited_out_longer_but_not_for_ever():
    assert act(1.6, text="ha ha") is Act.HOLD
    assert act(1.6, text="ha ha", words_until=0.5) is Act.STOP
    assert act(2.38, text="ha ha") is Act.HOLD
    assert act(2.4, text="ha ha") is Act.STOP


def test_words_that_never_come_are_not_waited_for():
    late = S.barge_in_release + WORDS_WAIT_S
    assert act(0.4, silence=late - 0.02, recognized=True) is Act.HOLD
    assert act(0.4, silence=late, recognized=True) is Act.RESUME


def test_speech_too_short_for_a_turn_stops_nothing():
    assert act(0.18, silence=0.2, text="what") is Act.WAIT
    assert act(0.18, silence=0.4, text="what") is Act.RESUME
    assert act(0.2, silence=0.2, text="what") is Act.STOP


def test_somebody_else_is_known_by_the_level():
    assert act(2.0, text="have you seen my keys", level=-10.0) is Act.WAIT
    assert act(2.0, silence=0.4, text="have you seen my keys", level=-10.0) is Act.RESUME
    assert act(2.0, text="have you seen my keys", level=-8.0) is Act.STOP
    assert act(2.0, level=-10.0) is Act.WAIT  # who knows no words goes by the level alone
    assert act(2.0, silence=0.4, level=-10.0) is Act.RESUME


def test_a_quiet_command_and_nothing_more_is_the_user_s_all_the_same():
    assert act(0.5, text="stop", level=-10.0) is Act.WAIT  # it may go on
    assert act(0.5, silence=0.2, text="stop", level=-10.0) is Act.STOP
    assert act(0.5, silence=0.2, text="stop", level=-13.0) is Act.WAIT
    assert act(0.5, silence=0.4, text="stop", level=-13.0) is Act.RESUME
    assert act(1.5, silence=0.4, text="just a second I am on the phone", level=-10.0) is Act.RESUME


def test_the_words_of_what_is_quiet_are_waited_for():
    late = S.barge_in_release + WORDS_WAIT_S
    assert act(0.5, silence=late - 0.02, recognized=True, level=-10.0) is Act.WAIT
    assert act(0.5, silence=late, recognized=True, level=-10.0) is Act.RESUME
    assert act(0.5, silence=0.4, recognized=True, level=-13.0) is Act.RESUME


def test_the_reason_says_what_was_heard():
    said = OverlapEvidence(0.5, 0.3, recognized=True, words=told("Okay, stop!"), words_until=0.5)
    assert judge(said, S).reason == "you said “okay stop”"
    noise = OverlapEvidence(0.5, 0.3, recognized=True, words=told(""), words_until=0.5)
    assert judge(noise, S).reason == "only no words"
