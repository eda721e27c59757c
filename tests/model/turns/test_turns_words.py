"""Turn taking that listens to the words: with a script that a fake recogniser reads."""

from __future__ import annotations

import numpy as np
import pytest

from audio_io.clock import FRAME, USER_RATE, samples
from audio_io.signal import Position
from model.engine import SayText
from model.errors import ChatError, EndOfTurnError, RecognizerError
from model.events import (
    EndpointJudged,
    Interrupted,
    Notice,
    PlaybackAction,
    PlaybackControl,
    ReplyFinished,
    ReplyStarted,
    StateChanged,
    TurnDiscarded,
    TurnLatency,
    UserTranscript,
)
from model.turns import end_of_turn
from model.turns.endings.features import TurnEnding, features
from model.turns.endings.models import Outlook
from model.turns.phrases import Phrases
from tests.fakes.engine import FakeClock, FakeGenerator, FakeSpeaker, silence
from tests.fakes.talks import LISTENING, THINKING, USER_SPEAKING, FakeReader, Script, converse

ACTIONS = PlaybackAction
TEN = [f"w{n}" for n in range(10)]
"""A reply of 5 s. After one second of speech it is heard from 1.61 s on: silence until the turn is
taken to be over, and 0.3 + 0.1 + 0.05 s of work."""


def committed(log) -> float:
    return next(e.at for e in log.of(StateChanged) if e.state is THINKING) / USER_RATE


def actions(log) -> list[PlaybackAction]:
    return [event.action for event in log.of(PlaybackControl)]


@pytest.mark.parametrize(
    ("text", "wait"),
    [
        ("What time is it?", 0.48),  # as soon as the words are known and weighed
        ("What time is it in", 2.8),
        ("Um", 2.8),
    ],
)
def test_each_ending_is_waited_for_as_long_as_it_needs(text, wait):
    script = Script()
    log, fake = converse(script.say(text, 1.0), silence(6), script=script)
    assert committed(log) == pytest.approx(1.0 + wait, abs=FRAME / USER_RATE)
    assert fake.history == [(text, "one two three four")]
    judged = log.of(EndpointJudged)
    assert judged[-1].over
    assert judged[-1].silence == pytest.approx(wait, abs=FRAME / USER_RATE)
    assert len(judged) == (1 if wait < 1 else 2)
    assert judged[0].reason == judged[-1].reason


def test_a_statement_that_more_may_follow_is_waited_for_longer_but_not_long():
    class Expecting(FakeReader):
        def outlook(self, words: str, before: str) -> Outlook:
            return Outlook(ends=-0.7, pauses=-1.0, goes_on=-1.5, closes=-1.7)

    script = Script()
    said = script.say("We have a garden.", 1.0)
    log, _ = converse(said, silence(6), script=script, reader=Expecting)
    assert 1.5 < committed(log) < 2.1
    assert log.of(EndpointJudged)[-1].reason.startswith("more may follow (")


def test_words_that_are_being_weighed_are_waited_for():
    def slow(clock: FakeClock) -> FakeReader:
        return FakeReader(clock, cost=0.4)

    script = Script()
    log, _ = converse(script.say("What time is it?", 1.0), silence(6), script=script, reader=slow)
    assert committed(log) == pytest.approx(1.86, abs=2 * FRAME / USER_RATE)


def test_partial_words_are_read_ahead_and_a_reply_waits_for_one_reading_at_most():
    def begun(cost: float) -> int:
        script = Script()
        said = (script.say("I would like to know", 1.2), script.say("what time it is.", 1.2))
        log, fake = converse(*said, silence(9), script=script, ahead_cost=cost)
        whole = "I would like to know what time it is."
        assert fake.ahead
        assert all(whole.startswith(words) for words in fake.ahead)
        assert len(fake.turns) == 1
        (started,) = log.of(ReplyStarted)
        return started.at

    plain = begun(0.0)
    assert begun(0.2) == plain
    assert plain < begun(3.0) <= plain + samples(3.0)


def test_a_generator_that_cannot_read_ahead_answers_all_the_same(monkeypatch):
    def fail(self: FakeGenerator, words: str) -> None:
        raise ChatError("no memory")

    monkeypatch.setattr(FakeGenerator, "read_ahead", fail)
    script = Script()
    log, fake = converse(script.say("What time is it now?", 2.0), silence(5), script=script)
    assert len(fake.history) == 1
    assert not log.of(Notice)


def test_partial_words_are_only_read_ahead():
    readers: list[FakeReader] = []

    def reader(clock: FakeClock) -> FakeReader:
        readers.append(FakeReader(clock))
        return readers[0]

    script = Script()
    said = (script.say("I would like to know", 1.2), script.say("what time it is.", 1.2))
    log, fake = converse(*said, silence(5), script=script, reader=reader)
    whole = "I would like to know what time it is."
    assert readers[0].ahead == ["I would like to know"]  # four more words are not worth a reading
    assert [words for words, _ in readers[0].read] == [whole]
    assert [question for question, _ in fake.history] == [whole]
    assert committed(log) == pytest.approx(2.4 + 0.48, abs=2 * FRAME / USER_RATE)


def test_an_ending_is_weighed_once_for_all_that_is_known_of_it(monkeypatch):
    weighed: list[TurnEnding] = []

    def counted(ending: TurnEnding, phrases: Phrases) -> dict[str, float]:
        weighed.append(ending)
        return features(ending, phrases)

    monkeypatch.setattr(end_of_turn, "features", counted)
    script = Script()
    converse(script.say("We went to the", 1.0), silence(6), script=script)
    assert weighed
    assert len(weighed) == len(set(weighed))


def test_a_reader_that_fails_is_told_of_once_and_done_without():
    class Broken(FakeReader):
        def outlook(self, words: str, before: str) -> Outlook:
            raise EndOfTurnError("it broke")

    script = Script()
    said = (script.say("What time is it?", 1.0), silence(6), script.say("Why?", 1.0), silence(6))
    log, fake = converse(*said, script=script, reader=Broken)
    assert [event.text for event in log.of(Notice)] == [
        "whether words are complete is judged without it: it broke"
    ]
    assert len(fake.history) == 2


def test_an_unfinished_phrase_is_one_turn_with_what_follows_the_pause():
    script = Script()
    said = (script.say("Tell me about the", 1.0), silence(2.4), script.say("moon.", 0.6))
    log, fake = converse(*said, silence(5), script=script)
    assert [question for question, _ in fake.history] == ["Tell me about the moon."]
    assert len(log.of(ReplyStarted)) == 1
    assert log.states[:2] == [USER_SPEAKING, THINKING]


def test_an_answer_is_read_with_its_question():
    readers: list[FakeReader] = []

    def reader(clock: FakeClock) -> FakeReader:
        readers.append(FakeReader(clock))
        return readers[0]

    script = Script()
    said = (script.say("Hello.", 1.0), silence(4), script.say("My name is Jo.", 1.0))
    words = ["who", "are", "you?"]
    converse(*said, silence(5), script=script, words=words, reader=reader)
    assert readers[0].read[0] == ("Hello.", "")
    assert readers[0].read[-1] == ("My name is Jo.", "who are you? ")


@pytest.mark.parametrize(
    ("text", "asked"), [("And in Rome?", ["Hi", "And in Rome?"]), ("Mm-hmm.", ["Hi"])]
)
def test_words_said_and_over_while_a_reply_is_thought_about_are_not_lost(text, asked):
    script = Script()
    log, fake = converse(
        *(silence(1), script.say(text, 0.6), silence(14)),
        script=script,
        commands={0.5: SayText("Hi")},
        think_cost=4.0,
    )
    assert [question for question, _ in fake.history] == asked
    assert bool(log.of(Interrupted)) == (len(asked) == 2)


def test_a_question_whose_end_was_lost_was_not_asked():
    class Losing(FakeSpeaker):
        @property
        def played(self) -> Position:
            real = super().played
            return Position(real.reply_id, min(real.samples, 20_000))

    script = Script()
    said = (script.say("Hello.", 1.0), silence(6), script.say("My name is Jo.", 1.0))
    words = ["who", "are", "you?"]
    readers: list[FakeReader] = []

    def reader(clock: FakeClock) -> FakeReader:
        readers.append(FakeReader(clock))
        return readers[0]

    converse(*said, silence(5), script=script, words=words, speaker=Losing(), reader=reader)
    assert {before for _, before in readers[0].read} == {""}


class Ear:
    """An end-of-turn model that always says the same."""

    def __init__(self, clock: FakeClock, probability: float) -> None:
        self.clock, self.answer = clock, probability
        self.lengths: list[int] = []

    name = "a fake ear"

    def load(self) -> None:
        pass

    def probability(self, audio) -> float:
        self.lengths.append(len(audio))
        self.clock.pass_time(0.1)
        if self.answer < 0:
            raise EndOfTurnError("the model is broken")
        return self.answer

    def close(self) -> None:
        pass


def test_the_sound_is_weighed_with_the_words():
    def told(probability: float) -> float:
        script = Script()
        log, _ = converse(
            *(script.say("We have a garden.", 1.0), silence(5)),
            script=script,
            end_of_turn=lambda clock: Ear(clock, probability),
        )
        return log.of(EndpointJudged)[-1].probability

    assert told(0.01) < told(0.5) < told(0.99)


def test_without_words_the_sound_decides():
    over, _ = converse(*talk(), end_of_turn=lambda clock: Ear(clock, 0.9))
    open_, _ = converse(*talk(), end_of_turn=lambda clock: Ear(clock, 0.1))
    assert committed(over) == pytest.approx(1.35, abs=2 * FRAME / USER_RATE)
    assert committed(open_) == pytest.approx(1.0 + 1.4, abs=FRAME / USER_RATE)


def talk():
    return Script().say("anything", 1.0), silence(6)


def test_the_model_is_asked_once_in_each_silence():
    ears = []

    def ear(clock: FakeClock) -> Ear:
        ears.append(Ear(clock, 0.1))
        return ears[0]

    said = Script().say("anything", 1.0)
    converse(said, silence(0.5), said, silence(6), end_of_turn=ear)
    assert [n / USER_RATE for n in ears[0].lengths] == pytest.approx([1.12, 2.62], abs=0.021)


def test_a_broken_model_is_told_of_once_and_done_without():
    log, fake = converse(*talk(), *talk(), end_of_turn=lambda clock: Ear(clock, -1.0))
    assert [e.text for e in log.of(Notice)] == [
        "turns end by silence and words alone: the model is broken"
    ]
    assert len(fake.history) == 2


@pytest.mark.parametrize("text", ["Mm-hmm.", "Yeah, right.", ""])
def test_a_backchannel_only_holds_the_reply_for_a_moment(text):
    script = Script()
    said = (script.say("Hello.", 1.0), silence(3), script.say(text, 0.5), silence(8))
    log, fake = converse(*said, script=script, words=TEN)
    assert actions(log) == [ACTIONS.DUCK, ACTIONS.HOLD, ACTIONS.RESUME]
    assert not log.of(Interrupted)
    (finished,) = log.of(ReplyFinished)
    assert fake.history == [("Hello.", " ".join(TEN))]
    held, resumed = log.of(PlaybackControl)[1:]
    assert resumed.at - held.at < samples(0.8)
    # Nothing skipped, nothing repeated: it ends later by as long as it stood still.
    heard = np.concatenate(log.heard)
    assert np.count_nonzero(heard) == pytest.approx(10 * 12_000, abs=1)  # the fade ends in a zero
    begun = log.of(ReplyStarted)[0].at
    late = finished.at - begun - samples(5.0)
    assert late == pytest.approx(resumed.at - held.at, abs=2 * FRAME)


@pytest.mark.parametrize("text", ["Stop!", "Tell me about the sun instead"])
def test_words_stop_the_reply_and_belong_to_the_next_turn(text):
    script = Script()
    said = (script.say("Hello.", 1.0), silence(3), script.say(text, 1.0), silence(8))
    log, fake = converse(*said, script=script, words=TEN)
    assert actions(log) == [ACTIONS.DUCK, ACTIONS.HOLD, ACTIONS.STOP]
    assert log.level(4.0 + 0.35, 5.0) == 0  # silent, though not stopped yet
    assert log.of(Interrupted)[0].reason.startswith("you said")
    assert [question for question, _ in fake.history] == ["Hello.", text]
    # Not a sample of it is missing.
    assert np.count_nonzero(fake.turns[-1].audio) == USER_RATE


def test_what_was_heard_before_the_hold_is_what_is_remembered():
    script = Script()
    said = (script.say("Hello.", 1.0), silence(3), script.say("Stop!", 0.5), silence(8))
    log, fake = converse(*said, script=script, words=TEN)
    (cut,) = log.of(Interrupted)
    # Heard from 1.46 s, when the turn was over and the reply ready, to the hold at 4.3 s.
    started, held = log.of(ReplyStarted)[0].at, log.of(PlaybackControl)[1].at
    assert cut.heard_samples == pytest.approx((held - started) * 1.5, abs=600)
    assert fake.history[0][1] == cut.heard.strip() == "w0 w1 w2 w3 w4"


def test_a_noise_just_as_the_reply_begins_does_not_take_it_back():
    # The reply is heard from 1.61 s on.
    script = Script()
    said = (script.say("Hello.", 1.0), silence(0.8), script.say("", 0.4), silence(8))
    log, fake = converse(*said, script=script)
    assert actions(log) == [ACTIONS.DUCK, ACTIONS.HOLD, ACTIONS.RESUME]
    assert fake.history == [("Hello.", "one two three four")]


def test_the_rest_of_the_turn_just_as_the_reply_begins_takes_it_back():
    script = Script()
    said = (script.say("Wake me.", 1.0), silence(0.8), script.say("Tomorrow.", 0.5), silence(8))
    log, fake = converse(*said, script=script)
    assert actions(log) == [ACTIONS.DUCK, ACTIONS.HOLD, ACTIONS.STOP]
    assert fake.history == [("Wake me. Tomorrow.", "one two three four")]


def test_a_quiet_voice_is_somebody_else():
    script = Script()
    other = script.say("have you seen my keys", 1.5, level=0.02)
    log, fake = converse(
        *(script.say("Hello.", 1.0), silence(3), other, silence(8)), script=script, words=TEN
    )
    assert actions(log) == [ACTIONS.DUCK, ACTIONS.RESUME]
    assert "below you" in log.of(PlaybackControl)[-1].reason
    assert len(fake.history) == 1


@pytest.mark.parametrize(("text", "stops"), [("have you seen my keys", False), ("Stop.", True)])
def test_a_voice_that_is_rather_quiet_must_give_a_command(text, stops):
    script = Script()
    quiet = script.say(text, 0.6, level=0.0316)  # 10 dB below
    log, fake = converse(
        *(script.say("Hello.", 1.0), silence(3), quiet, silence(8)), script=script, words=TEN
    )
    assert actions(log) == [ACTIONS.DUCK, ACTIONS.STOP if stops else ACTIONS.RESUME]
    assert len(fake.history) == 1 + stops


def test_a_reply_that_is_held_goes_on_lower_when_it_was_somebody_else():
    script = Script()
    other = (script.say("Ha", 0.3, level=0.04), script.say("", 2.0, level=0.02))
    log, fake = converse(
        *(script.say("Hello.", 1.0), silence(3), *other, silence(8)), script=script, words=TEN
    )
    assert actions(log) == [
        *(ACTIONS.DUCK, ACTIONS.HOLD),
        *(ACTIONS.RESUME, ACTIONS.DUCK),
        ACTIONS.RESUME,
    ]
    assert all("below you" in event.reason for event in log.of(PlaybackControl)[2:])
    assert log.level(5.5, 6.2) == pytest.approx(0.5 * 10 ** (-12 / 20), rel=1e-3)
    assert fake.history == [("Hello.", " ".join(TEN))]


def test_a_backchannel_at_the_end_of_a_reply_is_not_answered():
    # The reply is heard from 1.46 s to 2.96 s or so.
    script = Script()
    said = (script.say("Hello.", 1.0), silence(1.84), script.say("Okay.", 0.5), silence(6))
    log, fake = converse(*said, script=script, words=["yes", "it", "is"])
    assert [question for question, _ in fake.history] == ["Hello."]
    assert "Okay" in log.of(TurnDiscarded)[0].reason
    assert log.states[-1] is LISTENING


def test_but_it_answers_a_question():
    script = Script()
    said = (script.say("Hello.", 1.0), silence(1.84), script.say("Okay.", 0.5), silence(6))
    _, fake = converse(*said, script=script, words=["are", "you", "ready?"])
    assert [question for question, _ in fake.history] == ["Hello.", "Okay."]


def test_a_broken_recogniser_leaves_the_length_to_decide():
    class Broken(Script):
        def read(self, audio) -> str:
            if super().read(audio) == "Hello.":
                return "Hello."
            raise RecognizerError("the recogniser is broken")

    script = Broken()
    said = (script.say("Hello.", 0.5), silence(3), script.say("Well", 1.0), silence(8))
    log, _ = converse(
        *said,
        script=script,
        words=TEN,
        generator=FakeGenerator,
    )
    assert ACTIONS.STOP in actions(log)
    assert any("judged by length alone" in e.text for e in log.of(Notice))


def test_the_latency_holds_until_the_words_decide():
    script = Script()
    log, _ = converse(script.say("What time is it?", 1.0), silence(4), script=script)
    (latency,) = log.of(TurnLatency)
    assert latency.total == pytest.approx(0.15 + 0.3 + 0.1 + 0.05, abs=0.04)
    assert latency.parts["decide"] == 0
    assert log.of(UserTranscript)[-1].final
