"""Each check on conversations made by hand, with the answer known."""

from __future__ import annotations

import pytest

from covo_cli.bench.words import first_words_lost, words_lost
from covo_cli.evaluation import Kind
from covo_cli.evaluation.judging.evidence import Evidence
from covo_cli.evaluation.judging.finding import Finding, FindingCheck
from covo_cli.evaluation.judging.judge import judge
from covo_cli.evaluation.scenarios.scenario import Noise, NoiseKind, Role
from model.events import PlaybackAction
from tests.covo_cli.evaluation.evaluation_cases import (
    control,
    conversation,
    cut,
    reply,
    said,
    thinking,
    transcript,
)


def only(evidence: Evidence, check: FindingCheck) -> Finding:
    (finding,) = [finding for finding in judge(evidence) if finding.check is check]
    return finding


# The word-based takeover rule


@pytest.mark.parametrize(
    ("seconds", "words", "takes_over"),
    [
        (0.9, 3, False),  # short, and few words
        (0.9, 4, True),
        (1.0, 1, True),
        (5.0, None, True),  # so long that nobody counted
        (5.0, 0, False),  # a sound without a word
        (0.5, 0, False),
    ],
)
def test_a_takeover_is_a_second_of_speech_or_more_than_three_words(seconds, words, takes_over):
    assert reply(1, 2.0, 2.0 + seconds, words=words).takes_over is takes_over


# Turns


def test_a_turn_that_is_answered_in_time():
    talk = conversation(Kind.TURN, [said(Role.TURN, 1.0, 3.0)], [reply(1, 3.8, 7.0, committed=3.6)])
    finding = only(talk, FindingCheck.TURN)
    assert finding.ok
    assert finding.values == {
        "takeover": 1.0,
        "latency": 0.8,
        "decision": 0.6,
        "early": 0.0,
        "cut": 0.0,
    }


def test_a_turn_that_nobody_answers():
    finding = only(conversation(Kind.TURN, [said(Role.TURN, 1.0, 3.0)]), FindingCheck.TURN)
    assert (finding.ok, finding.values, finding.why) == (
        False,
        {"takeover": 0.0, "cut": 1.0},
        "no answer",
    )


def test_an_answer_before_the_turn_is_over_counts_as_taken_but_is_wrong():
    talk = conversation(Kind.TURN, [said(Role.TURN, 1.0, 3.0)], [reply(1, 2.5, 7.0, committed=2.4)])
    finding = only(talk, FindingCheck.TURN)
    assert not finding.ok
    assert finding.values["takeover"] == 1
    assert finding.values["latency"] == 0  # as Full-Duplex-Bench counts it


def test_a_blip_is_no_answer():
    talk = conversation(Kind.TURN, [said(Role.TURN, 1.0, 3.0)], [reply(1, 3.5, 4.2, words=2)])
    assert only(talk, FindingCheck.TURN).values["takeover"] == 0


@pytest.mark.parametrize(
    ("taken_for_over", "replies", "cut"),
    [
        (4.1, [reply(1, 4.6, 7.0)], 0),
        (4.3, [reply(1, 4.6, 7.0)], 1),
        (None, [reply(1, 4.1, 7.0)], 0),  # an engine without that state
        (4.1, [], 0),  # a reply that was never heard
        (0.5, [], 1),  # the turn before
    ],
)
def test_a_turn_is_taken_for_cut_if_it_is_not_over_1_2_s_after_its_end(
    taken_for_over, replies, cut
):
    events = [] if taken_for_over is None else [thinking(taken_for_over)]
    talk = conversation(Kind.SHORT_END, [said(Role.TURN, 1.0, 3.0)], replies, events)
    assert only(talk, FindingCheck.TURN).values["cut"] == cut


# Pauses

PAUSED = [said(Role.UNFINISHED, 1.0, 2.0), said(Role.TURN, 3.5, 5.0)]


def test_a_pause_that_is_left_alone():
    finding = only(conversation(Kind.PAUSE, PAUSED, [reply(1, 5.8, 9.0)]), FindingCheck.PAUSE)
    assert finding.ok
    assert finding.values == {"takeover": 0, "silent": 1, "begun": 0, "between": 0, "gap": 1.5}


def test_speech_into_a_pause_is_a_takeover_wherever_it_is_broken_off():
    talk = conversation(
        Kind.PAUSE, PAUSED, [reply(1, 2.8, 3.9, interrupted=3.9), reply(2, 5.8, 9.0)]
    )
    finding = only(talk, FindingCheck.PAUSE)
    assert not finding.ok
    assert finding.why == "it spoke 0.80 s into the pause"


def test_a_short_blurt_into_a_pause_is_no_takeover_but_a_sound():
    talk = conversation(Kind.PAUSE, PAUSED, [reply(1, 3.2, 3.7, words=1), reply(2, 5.8, 9.0)])
    finding = only(talk, FindingCheck.PAUSE)
    assert finding.ok
    assert (finding.values["takeover"], finding.values["silent"]) == (0, 0)


def test_an_answer_that_begins_while_the_turn_goes_on_is_one_into_its_pause():
    talk = conversation(Kind.PAUSE, PAUSED, [reply(1, 3.6, 6.0)])
    assert only(talk, FindingCheck.PAUSE).values["takeover"] == 1


def test_an_answer_to_half_a_phrase_is_a_takeover_too():
    talk = conversation(
        Kind.PAUSE, PAUSED, [reply(1, 1.5, 2.6, interrupted=2.6), reply(2, 5.8, 9.0)]
    )
    finding = only(talk, FindingCheck.PAUSE)
    assert not finding.ok
    assert finding.why == "it spoke 0.50 s before the pause"


def test_in_a_recording_all_that_is_heard_counts_as_one():
    whole = [said(Role.UNFINISHED, 0.0, 20.0, recorded=True)]
    blurts = [reply(1, 5.0, 5.4, words=1), reply(2, 9.0, 9.4, words=1)]
    assert not only(conversation(Kind.PAUSE, whole, blurts), FindingCheck.PAUSE).ok
    assert only(conversation(Kind.PAUSE, whole, blurts[:1]), FindingCheck.PAUSE).ok


def test_a_pause_is_between_sentences_after_a_whole_one_and_inside_one_otherwise():
    for text, between in (("My cat ran away.", 1), ("My number is five,", 0), ("I was, um", 0)):
        lines = [said(Role.UNFINISHED, 1.0, 2.0, text), PAUSED[1]]
        finding = only(conversation(Kind.PAUSE, lines), FindingCheck.PAUSE)
        assert finding.values["between"] == between


def test_a_reply_counts_to_one_of_the_pauses_of_a_story():
    story = [
        said(Role.UNFINISHED, 1.0, 2.0, "We went out."),
        said(Role.UNFINISHED, 2.8, 3.8, "It rained."),
        said(Role.TURN, 4.6, 5.6, "We went home."),
    ]
    for first, pause in ((1.5, 0), (2.5, 0), (3.0, 0), (4.2, 1), (5.0, 1), (6.0, None)):
        talk = conversation(Kind.STORY, story, [reply(1, first, first + 2.0)])
        found = [f for f in judge(talk) if f.check is FindingCheck.PAUSE]
        begun = [f.line for f in found if f.values["begun"]]
        assert begun == ([] if pause is None else [pause]), first


HALVES = [
    said(Role.UNFINISHED, 1.0, 2.0, "My cat ran away."),
    said(Role.TURN, 3.0, 4.0, "She came back on Sunday."),
]
WHOLE = "My cat ran away. She came back on Sunday."


@pytest.mark.parametrize(
    ("heard", "understood", "taken_back"),
    [
        ([reply(1, 2.6, 3.2, interrupted=3.2)], WHOLE, 1),
        ([reply(1, 2.6, 3.22, interrupted=3.22)], WHOLE, 1),  # with its fade-out
        ([reply(1, 2.6, 3.24, interrupted=3.24)], WHOLE, 0),  # too late
        ([reply(1, 2.6, 3.1, finished=3.1)], WHOLE, 0),  # it was just short
        ([reply(1, 2.6, 3.2, interrupted=3.2)], "She came back on Sunday.", 0),
        ([reply(1, 2.6, 3.2, interrupted=3.2)], "My cat ran away. Came back on Sunday.", 0),
        ([reply(1, 2.6, 3.2, interrupted=3.2)], "My hat ran away. She came back on some day.", 1),
        (
            [reply(1, 2.3, 2.7, interrupted=2.7), reply(2, 2.8, 3.9, interrupted=3.9)],
            WHOLE,
            0,
        ),
    ],
)
def test_a_reply_is_taken_back_within_0_6_s_and_without_a_lost_word(heard, understood, taken_back):
    events = [transcript(1, 1.0, 2.0, "My cat ran away."), transcript(2, 1.0, 4.0, understood)]
    talk = conversation(Kind.STORY, HALVES, heard, events)
    finding = only(talk, FindingCheck.PAUSE)
    assert (finding.values["begun"], finding.values["taken_back"]) == (1, taken_back)


def test_without_an_honest_recogniser_the_time_alone_decides_what_was_taken_back():
    talk = conversation(Kind.STORY, HALVES, [reply(1, 2.6, 3.2, interrupted=3.2)])
    for words, taken_back in ((True, 0), (False, 1)):
        (finding,) = [f for f in judge(talk, words=words) if f.check is FindingCheck.PAUSE]
        assert finding.values["taken_back"] == taken_back


def test_a_pause_in_which_nothing_was_heard_has_nothing_to_take_back():
    finding = only(conversation(Kind.STORY, HALVES), FindingCheck.PAUSE)
    assert "taken_back" not in finding.values


@pytest.mark.parametrize(
    ("meant", "understood", "lost"),
    [
        ("My number is oh seven seven, nine four one.", "My number is 077-941.", 0),
        ("My number is oh seven seven, nine four one.", "My number is 077.", 3),
        ("My surname is Marlow, M, A, R, L, O, W.", "My surname is Marlow, M-A-R-L-O-W.", 0),
        ("My surname is Marlow, M, A, R, L, O, W.", "My surname is Marlow.", 1),
        ("Come at eleven twenty five.", "Come at 11:25.", 0),
        ("Come on the tenth of June.", "Come on 10 June.", 0),
        ("Come on June the tenth.", "Come on June 10th.", 0),
        ("It's late.", "It is late.", 0),
        ("It's late.", "", 3),
    ],
)
def test_no_word_is_lost_by_the_way_it_is_written(meant, understood, lost):
    assert words_lost(meant, understood) == lost


# Backchannels and side talk

MM_HMM = [said(Role.TURN, 1.0, 2.0), said(Role.BACKCHANNEL, 5.0, 5.5, "Mm-hmm.")]


def test_a_backchannel_that_the_reply_survives():
    duck, resume = control(5.2, PlaybackAction.DUCK), control(5.9, PlaybackAction.RESUME)
    talk = conversation(Kind.BACKCHANNEL, MM_HMM, [reply(1, 2.8, 12.0)], [duck, resume])
    finding = only(talk, FindingCheck.BACKCHANNEL)
    assert finding.ok
    expected = {"takeover": 0, "over_reply": 1, "alarm": 1, "resumed": 1, "resume": 0.4}
    assert finding.values == expected


def test_a_reply_that_is_lowered_twice_is_back_when_it_returns_for_good():
    actions = (PlaybackAction.DUCK, PlaybackAction.RESUME) * 2
    events = [control(*at) for at in zip((5.1, 5.3, 5.45, 6.1), actions, strict=True)]
    for length, expected in ((4, {"resumed": 1, "resume": 0.6}), (3, {"resumed": 0})):
        talk = conversation(Kind.BACKCHANNEL, MM_HMM, [reply(1, 2.8, 12.0)], events[:length])
        values = only(talk, FindingCheck.BACKCHANNEL).values
        assert {name: v for name, v in values.items() if name.startswith("resume")} == expected


def test_a_backchannel_that_ends_the_reply():
    events = [control(5.2, PlaybackAction.DUCK), control(5.4, PlaybackAction.STOP), cut(5.5)]
    heard = [reply(1, 2.8, 5.4, interrupted=5.5), reply(2, 6.5, 9.0)]
    finding = only(conversation(Kind.BACKCHANNEL, MM_HMM, heard, events), FindingCheck.BACKCHANNEL)
    assert (finding.ok, finding.why) == (False, "it stopped")
    assert (finding.values["takeover"], finding.values["resumed"]) == (1, 0)


def test_a_backchannel_that_is_answered():
    heard = [reply(1, 2.8, 6.0, finished=6.0), reply(2, 7.0, 9.0)]
    finding = only(conversation(Kind.BACKCHANNEL, MM_HMM, heard), FindingCheck.BACKCHANNEL)
    assert (finding.ok, finding.why) == (False, "it answered")


def test_a_backchannel_over_nothing_is_no_case():
    finding = only(conversation(Kind.BACKCHANNEL, MM_HMM), FindingCheck.BACKCHANNEL)
    assert finding.ok is None


def test_side_talk_in_silence_that_is_answered():
    lines = [said(Role.SIDE_TALK, 1.0, 2.0), said(Role.TURN, 6.0, 7.0)]
    heard = [reply(1, 2.7, 5.0), reply(2, 7.7, 9.0)]
    finding = only(conversation(Kind.SIDE_TALK, lines, heard), FindingCheck.SIDE_TALK)
    assert (finding.ok, finding.values) == (False, {"takeover": 1, "over_reply": 0})


@pytest.mark.parametrize(
    ("heard", "ok", "values"),
    [
        ([reply(1, 2.8, 5.4, interrupted=5.5)], True, {"stopped": 1}),
        ([reply(1, 2.8, 12.0)], True, {"stopped": 0}),
        ([reply(1, 2.8, 4.0, finished=4.0)], None, {}),
    ],
)
def test_somebody_elses_command_may_be_obeyed_or_not(heard, ok, values):
    lines = [said(Role.TURN, 1.0, 2.0), said(Role.COMMAND, 5.0, 5.5, "Stop.")]
    finding = only(conversation(Kind.BYSTANDER, lines, heard), FindingCheck.COMMAND)
    assert (finding.ok, finding.values) == (ok, values)


# Interruptions

STOP = [said(Role.TURN, 1.0, 2.0), said(Role.INTERRUPTION, 5.0, 6.0, "Stop.")]


def test_an_interruption_that_is_caught_and_answered():
    heard = [reply(1, 2.8, 5.4, interrupted=5.5), reply(2, 6.7, 9.0, committed=6.6)]
    finding = only(
        conversation(Kind.INTERRUPTION, STOP, heard, [cut(5.5)]), FindingCheck.INTERRUPTION
    )
    assert finding.ok
    assert finding.values == {
        "takeover": 1,
        "latency": 0.7,
        "decision": 0.6,
        "early": 0,
        "stopped": 1,
        "stop": 0.4,
    }


@pytest.mark.parametrize(
    ("heard", "ok", "why"),
    [
        ([reply(1, 2.8, 15.0)], False, "it talked on"),
        ([reply(1, 2.8, 5.4, interrupted=5.5)], False, "no answer"),
        (
            [reply(1, 2.8, 5.3, interrupted=5.4), reply(2, 5.6, 9.0)],
            False,
            "it answered before the interruption was over",
        ),
        ([reply(1, 2.8, 5.6, finished=5.6)], None, "it had just finished"),
        ([reply(1, 2.8, 9.0, finished=9.0)], False, "it talked on"),
        ([], None, "nothing was being said"),
    ],
)
def test_interruptions_that_go_wrong_or_are_none(heard, ok, why):
    finding = only(conversation(Kind.INTERRUPTION, STOP, heard), FindingCheck.INTERRUPTION)
    assert (finding.ok, finding.why) == (ok, why)


# Self-corrections

MEANT = [said(Role.CORRECTED, 1.0, 2.0), said(Role.CORRECTION, 3.0, 4.0)]


@pytest.mark.parametrize(
    ("heard", "ok", "why"),
    [
        ([reply(1, 4.8, 9.0)], True, ""),
        ([reply(1, 2.8, 3.3, interrupted=3.3), reply(2, 4.8, 9.0)], True, ""),
        ([reply(1, 2.8, 9.0)], False, "it talked over the correction"),
        ([reply(1, 2.8, 3.3, interrupted=3.3)], False, "no answer"),
    ],
)
def test_a_self_correction_is_heard_out_and_answered(heard, ok, why):
    finding = only(conversation(Kind.CORRECTION, MEANT, heard), FindingCheck.CORRECTION)
    assert (finding.ok, finding.why) == (ok, why)


# What nobody asked for


def test_interruptions_by_nobody_are_counted_over_the_time_in_which_nobody_spoke():
    noise = Noise(NoiseKind.PINK, 10.0, 1)
    talk = conversation(
        Kind.NOISE,
        [said(Role.TURN, 1.0, 2.0)],
        [reply(1, 2.8, 12.0, interrupted=12.0)],
        [control(9.0, PlaybackAction.DUCK), cut(12.0)],
        noise=noise,
    )
    finding = only(talk, FindingCheck.EXPOSURE)
    assert not finding.ok
    assert finding.values["false_barge_ins"] == 1
    assert finding.values["false_alarms"] == 1
    # The line and the 1.5 s after it do not count: of the reply, 3.5 to 12 s do.
    assert finding.values["speaking"] == pytest.approx(8.5, abs=0.15)
    assert finding.values["idle"] == pytest.approx(20.0 - 2.5 - 8.5, abs=0.2)
    assert finding.values["snr"] == 10


def test_an_interruption_by_the_user_is_none_by_nobody():
    heard = [reply(1, 2.8, 5.4, interrupted=5.5), reply(2, 6.7, 9.0)]
    assert only(conversation(Kind.INTERRUPTION, STOP, heard, [cut(5.5)]), FindingCheck.EXPOSURE).ok


def test_of_a_recording_nobody_knows_what_else_is_said_in_it():
    lines = [said(Role.INTERRUPTION, 5.0, 6.0, "Stop.", recorded=True)]
    heard = [reply(1, 2.8, 5.4, interrupted=5.5), reply(2, 6.7, 9.0)]
    events = [transcript(1, 1.0, 2.0, "what is there to know"), cut(5.5)]
    found = judge(conversation(Kind.INTERRUPTION, lines, heard, events))
    assert [finding.check for finding in found] == [FindingCheck.INTERRUPTION]


def test_an_answer_to_what_nobody_said():
    events = [transcript(1, 4.0, 4.6, "Thank you.")]
    talk = conversation(Kind.SILENCE, [], [reply(1, 5.5, 8.0)], events)
    finding = only(talk, FindingCheck.EXPOSURE)
    assert (finding.ok, finding.why) == (False, "answered nobody: 1")


# First words


@pytest.mark.parametrize(
    ("meant", "understood", "lost"),
    [
        ("What is the capital of Peru?", "what's the capital of peru", (0, 3)),
        ("What is the capital of Peru?", "the capital of Peru", (2, 3)),
        ("What is the capital of Peru?", "What was the capital of Peru?", (0, 3)),  # misheard
        ("Stop.", "", (1, 1)),
        ("Um, how far is it?", "How far is it?", (0, 3)),  # fillers are no words
        ("今天天气怎么样？", "今天天氣怎麼樣", (0, 3)),  # a character is a word
        ("今天天气怎么样？", "天气怎么样", (2, 3)),
    ],
)
def test_words_are_lost_when_they_are_missing_not_when_they_are_misheard(meant, understood, lost):
    assert first_words_lost(meant, understood) == lost


def test_the_first_words_are_looked_for_in_the_transcript_of_their_time():
    lines = [said(Role.TURN, 1.0, 3.0, "How many days are there?")]
    events = [transcript(1, 1.3, 3.0, "days are there"), transcript(2, 9.0, 9.5, "no")]
    finding = only(conversation(Kind.TURN, lines, events=events), FindingCheck.FIRST_WORDS)
    assert finding.values == {"lost": 2, "of": 3}
