"""Turn taking and the user's keys: interrupting, typing, push-to-talk, muting, voices."""

from __future__ import annotations

import numpy as np
import pytest

from audio_io.clock import FRAME, USER_RATE, samples
from model.engine import Interrupt, PushToTalk, SayText, SetMuted, SetVoice
from model.events import (
    Interrupted,
    Notice,
    PlaybackControl,
    StateChanged,
    TurnDiscarded,
    UserTranscript,
    VoiceChanged,
)
from model.turns.turn_settings import TurnSettings
from tests.fakes.engine import silence, speech
from tests.fakes.talks import (
    INTERRUPTED,
    LISTENING,
    MUTED,
    SPEAKING,
    THINKING,
    USER_SPEAKING,
    converse,
)


def test_the_interrupt_key_stops_a_reply():
    log, fake = converse(speech(1), silence(5), commands={2.5: Interrupt()})
    assert log.states == [USER_SPEAKING, THINKING, SPEAKING, INTERRUPTED, LISTENING]
    assert fake.history == [("hello", "one")]
    assert log.level(2.8, 5) == 0


def test_the_interrupt_key_stops_thinking():
    log, fake = converse(speech(1), silence(5), commands={2.0: Interrupt()}, think_cost=2)
    assert log.states == [USER_SPEAKING, THINKING, LISTENING]
    assert fake.history == [("hello", "")]


def test_typed_text_is_answered_aloud():
    log, fake = converse(silence(6), commands={1.0: SayText(" what is it? ")})
    assert [e.text for e in log.of(UserTranscript)] == ["what is it?"]
    assert fake.history == [("what is it?", "one two three four")]
    assert len(fake.turns[0].audio) == 0


def test_typed_text_interrupts_a_reply():
    _, fake = converse(speech(1), silence(8), commands={2.5: SayText("stop")})
    assert [question for question, _ in fake.history] == ["hello", "stop"]
    assert fake.history[0][1] == "one"


def test_push_to_talk_holds_the_turn_open_through_any_silence():
    log, fake = converse(
        *(silence(1), speech(0.5), silence(2), speech(0.5), silence(5)),
        commands={0.5: PushToTalk(True), 4.2: PushToTalk(False)},
    )
    thinking = next(e for e in log.of(StateChanged) if e.state is THINKING)
    assert thinking.at == pytest.approx(samples(4.2), abs=2 * FRAME)
    assert np.count_nonzero(fake.turns[0].audio) == USER_RATE
    assert len(fake.history) == 1


def test_push_to_talk_stops_a_reply_and_works_while_muted():
    log, fake = converse(
        *(speech(1), silence(2), speech(0.5), silence(5)),
        commands={1.5: SetMuted(True), 2.5: PushToTalk(True), 3.6: PushToTalk(False)},
    )
    assert len(log.of(Interrupted)) == 1
    assert len(fake.history) == 2
    assert log.states[-1] is MUTED


def test_a_muted_microphone_hears_nothing():
    log, fake = converse(
        *(silence(1), speech(2), silence(1)), commands={0.5: SetMuted(True), 3.5: SetMuted(False)}
    )
    assert log.states == [MUTED, LISTENING]
    assert fake.turns == []


def test_the_voice_changes_between_replies():
    log, fake = converse(silence(1), commands={0.1: SetVoice("second"), 0.3: SetVoice("broken")})
    assert [e.voice for e in log.of(VoiceChanged)] == ["second"]
    assert [e.level for e in log.of(Notice)] == ["warning"]  # no reply has failed
    assert fake.voice == "second"


def test_a_forgotten_push_to_talk_ends():
    log, fake = converse(
        *(speech(2), silence(6)),
        commands={0.5: PushToTalk(True)},
        settings=TurnSettings(max_turn=4.0),
    )
    assert next(e for e in log.of(StateChanged) if e.state is THINKING).at <= samples(5)
    assert len(fake.history) == 1


def test_speech_while_a_typed_question_is_thought_about_is_heard_whole():
    log, fake = converse(
        *(silence(1), speech(2), silence(6)), commands={0.5: SayText("hi")}, think_cost=1.5
    )
    assert [question for question, _ in fake.history] == ["hi", "hello"]
    assert np.count_nonzero(fake.turns[-1].audio) == 2 * USER_RATE
    assert log.of(Interrupted)[0].heard == ""


def test_a_question_asked_and_over_while_another_is_thought_about_is_answered():
    log, fake = converse(
        *(silence(1), speech(1), silence(9)), commands={0.5: SayText("hi")}, think_cost=3.0
    )
    assert [question for question, _ in fake.history] == ["hi", "hello"]
    assert np.count_nonzero(fake.turns[-1].audio) == USER_RATE
    assert log.of(Interrupted)[0].reason == "you spoke for 1.00 s"


def test_of_a_reply_that_never_came_the_speaker_is_asked_for_nothing():
    log, fake = converse(
        *(silence(1), speech(2), silence(6)),
        commands={0.5: SayText("hi")},
        think_cost=1.5,
        words=[],
    )
    assert [question for question, _ in fake.history] == ["hi", "hello"]
    assert not log.of(PlaybackControl)


def test_typing_in_the_middle_of_speech_takes_its_place():
    log, fake = converse(*(speech(1), silence(5)), commands={0.5: SayText("hi")})
    assert log.of(TurnDiscarded)[0].reason == "you typed"
    assert fake.history[0][0] == "hi"
