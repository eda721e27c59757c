"""Turn taking by commands: turns given whole or left unanswered, history, persona, a late cut."""

from __future__ import annotations

import numpy as np
import pytest

from audio_io.clock import FRAME, samples
from audio_io.signal import Position
from model.engine import (
    AnswerNow,
    CutReply,
    EndTurn,
    Forget,
    Frame,
    Remember,
    SayAudio,
    SayText,
    SetPersona,
    SetTurnTaking,
    SetVoice,
)
from model.events import (
    Interrupted,
    ReplyFinished,
    ReplyStarted,
    StateChanged,
    TurnDiscarded,
    UserTranscript,
)
from model.jobs.virtual_executor import VirtualExecutor
from model.turns.controller import TurnTakingEngine
from model.turns.turn_settings import TurnSettings
from tests.fakes.engine import (
    FakeClock,
    FakeGenerator,
    FakeRecognizer,
    LevelDetector,
    silence,
    speech,
)
from tests.fakes.talks import INTERRUPTED, LISTENING, SPEAKING, THINKING, USER_SPEAKING, converse

WAITING = SetTurnTaking(TurnSettings(answers=False))


class Hearing(FakeGenerator):
    """Hears the sound itself."""

    hears = True


def test_a_turn_waits_until_an_answer_is_asked_for():
    log, fake = converse(speech(1), silence(6), commands={0.0: WAITING, 3.0: AnswerNow()})
    assert [e.text for e in log.of(UserTranscript) if e.final] == ["hello"]
    assert log.states[:3] == [USER_SPEAKING, THINKING, LISTENING]
    (started,) = log.of(ReplyStarted)
    assert started.at >= samples(3.0)
    assert fake.history == [("hello", "one two three four")]


def test_turns_that_wait_are_answered_together_with_the_text():
    log, fake = converse(
        *(speech(1), silence(2), speech(1), silence(6)),
        commands={0.0: WAITING, 5.5: AnswerNow("Be brief.")},
    )
    assert [question for question, _ in fake.history] == ["hello\nhello\nBe brief."]
    assert len(log.of(ReplyStarted)) == 1


def test_a_generator_that_hears_gets_the_sound_of_the_turns_that_wait():
    _, fake = converse(
        *(speech(1), silence(2), speech(1), silence(6)),
        commands={0.0: WAITING, 5.5: AnswerNow("Be brief.")},
        generator=Hearing,
    )
    (turn,) = fake.turns
    assert turn.text is None
    assert turn.added == "Be brief."
    assert np.count_nonzero(turn.audio) == samples(2.0)


def test_text_alone_is_answered_and_not_shown():
    log, fake = converse(silence(5), commands={0.5: AnswerNow("Greet the user.")})
    assert not log.of(UserTranscript)
    assert fake.history == [("Greet the user.", "one two three four")]


def test_an_answer_to_nothing_is_a_discarded_turn():
    log, fake = converse(silence(2), commands={0.5: AnswerNow()})
    assert [e.reason for e in log.of(TurnDiscarded)] == ["nothing to answer"]
    assert not fake.turns


def test_answer_now_ends_the_turn_being_spoken():
    log, _ = converse(speech(1), silence(0.1), speech(3), silence(6), commands={2.0: AnswerNow()})
    started = log.of(ReplyStarted)[0]
    assert samples(2.0) <= started.at < samples(3.0)
    assert (started.turn, started.reply) == (1, 1)


def test_answer_now_ends_the_turn_that_breaks_a_reply_off():
    log, fake = converse(
        *(speech(1), silence(1.5), speech(3), silence(6)), commands={2.84: AnswerNow("And this?")}
    )
    stopped = [e.at for e in log.of(StateChanged) if e.state is INTERRUPTED]
    assert stopped[0] < samples(2.84)
    first, second, *_ = log.of(ReplyStarted)
    assert stopped[0] < second.at < samples(4.0)
    assert second.turn == first.turn + 1
    assert [question for question, _ in fake.history][:2] == ["hello", "hello\nAnd this?"]


def test_speech_right_after_a_typed_turn_is_another_turn():
    log, fake = converse(
        *(silence(0.5), speech(2.5), silence(6)), commands={0.5: SayText("hi")}, think_cost=1.0
    )
    assert log.of(Interrupted)[0].reason != "you went on"
    assert [question for question, _ in fake.history] == ["hi", "hello"]


@pytest.mark.parametrize("recognized", ["", "hello"])
def test_text_is_answered_though_the_turn_beside_it_was_none(recognized):
    log, fake = converse(
        *(speech(0.3 if recognized == "" else 0.1), silence(6)),
        commands={0.16: AnswerNow("And this?")},
        recognized=lambda audio: recognized,
    )
    assert log.of(TurnDiscarded)
    assert fake.history == [("And this?", "one two three four")]


@pytest.mark.parametrize("fail_after", [0, 2])
def test_the_end_of_a_reply_that_fails_is_told_with_its_number(fail_after):
    log, fake = converse(speech(1), silence(6), fail_after=fail_after)
    (ended,) = log.of(Interrupted)
    assert fake.history == [("hello", ended.heard.strip())]
    assert fake._numbers == [ended.reply]


def test_a_turn_that_is_said_to_be_over_does_not_wait_for_silence():
    log, _ = converse(speech(1), silence(5), commands={0.9: EndTurn()})
    assert log.of(UserTranscript)[-1].at < samples(1.5)
    assert log.states[:3] == [USER_SPEAKING, THINKING, SPEAKING]


def test_a_turn_can_be_given_whole():
    log, fake = converse(silence(6), commands={0.5: SayAudio(speech(1.5))})
    assert [e.text for e in log.of(UserTranscript)] == ["hello"]
    assert len(fake.turns[0].audio) == samples(1.5)
    assert fake.history == [("hello", "one two three four")]


def test_text_joins_the_history_and_leaves_it():
    _, fake = converse(
        silence(6),
        commands={
            0.1: Remember(-1, "Who are you?", "Nobody."),
            0.2: Remember(-2, "And now?", "Still nobody."),
            0.3: Forget(-1),
            0.5: SayText("hi"),
        },
    )
    assert fake.history == [("And now?", "Still nobody."), ("hi", "one two three four")]


def test_a_reply_can_be_forgotten():
    _, fake = converse(speech(1), silence(6), commands={5.0: Forget(1)})
    assert fake.history == []


def test_a_reply_is_cut_where_the_ear_was():
    log, fake = converse(speech(1), silence(5), commands={2.9: CutReply(1, 12_000)})
    (cut,) = log.of(Interrupted)
    assert (cut.heard, cut.heard_samples) == ("one ", 12_000)
    assert fake.history == [("hello", "one")]
    assert log.level(3.2, 5) == 0


def test_the_last_reply_can_be_cut_after_its_end():
    log, fake = converse(
        speech(1), silence(6), commands={5.0: CutReply(1, 24_000), 5.5: CutReply(1, 60_000)}
    )
    assert len(log.of(ReplyFinished)) == 1
    (cut,) = log.of(Interrupted)
    assert cut.heard == "one two "
    assert fake.history == [("hello", "one two")]


def test_a_reply_longer_ago_is_not_cut():
    log, fake = converse(
        *(speech(1), silence(5), speech(1), silence(5)), commands={10.5: CutReply(1, 0)}
    )
    assert not log.of(Interrupted)
    assert len(fake.history) == 2


def test_the_persona_and_the_wait_change_at_run_time():
    slow = TurnSettings(silence=2.0, silence_finished=2.0)
    log, fake = converse(
        speech(1),
        silence(7),
        commands={0.0: SetTurnTaking(slow), 0.1: SetPersona("a pirate")},
    )
    assert log.of(ReplyStarted)[0].at >= samples(3.0)
    assert fake.persona == "a pirate"


def test_a_higher_threshold_hears_less():
    class Unsure(LevelDetector):
        def process(self, sound):
            return 0.6 * super().process(sound)

    clock = FakeClock()
    engine = TurnTakingEngine(
        FakeGenerator(clock), Unsure(), VirtualExecutor(clock), None, FakeRecognizer(clock)
    )
    engine.command(SetTurnTaking(TurnSettings(threshold=0.7)))
    assert not run(engine, np.concatenate((silence(0.1), speech(1))))
    engine.command(SetTurnTaking(None))
    assert run(engine, np.concatenate((silence(0.1), speech(1))))


def run(engine, sound, at=0):
    events = []
    for start in range(0, len(sound), FRAME):
        events += engine.process(Frame(at + start, sound[start : start + FRAME], Position()))
    return events


def test_a_new_conversation_knows_nothing_of_the_last_one():
    clock = FakeClock()
    fake = FakeGenerator(clock)
    recognizer = FakeRecognizer(clock)
    engine = TurnTakingEngine(fake, LevelDetector(), VirtualExecutor(clock), None, recognizer)
    first = run(engine, np.concatenate((speech(1), silence(2))))
    engine.command(SetPersona("a pirate"))
    engine.command(SetVoice("second"))
    engine.command(Remember(-1, "my name is Ann", "hello Ann"))
    engine.command(SetTurnTaking(TurnSettings(answers=False)))
    run(engine, speech(0.5), at=samples(3.0))  # it is in the middle of a reply, and of speech
    engine.start_over()
    assert not engine.busy
    assert (fake.persona, fake.voice, fake.history) == ("", "first", [])
    assert recognizer.conversations == 2
    second = run(engine, np.concatenate((speech(1), silence(2))))
    assert [(type(e), e.at) for e in first] == [(type(e), e.at) for e in second]
    numbers = [e.reply for e in first + second if isinstance(e, ReplyStarted)]
    assert len(set(numbers)) == 2
