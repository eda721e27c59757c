"""Turn taking in Chinese, and in a language of whose words nothing is known."""

from __future__ import annotations

from dataclasses import replace

import pytest

from audio_io.clock import FRAME, USER_RATE
from model.engine import EngineInfo
from model.events import (
    EndpointJudged,
    Interrupted,
    Notice,
    PlaybackAction,
    PlaybackControl,
    UserTranscript,
)
from tests.fakes.engine import FakeGenerator, silence
from tests.fakes.talks import THINKING, Script, converse
from tests.model.turns.test_turns_words import TEN, Ear, committed

DUCK, HOLD, RESUME, STOP = PlaybackAction
FRAME_S = FRAME / USER_RATE


class EnglishVoice(FakeGenerator):
    """A generator whose voice speaks English only."""

    @property
    def info(self) -> EngineInfo:
        return replace(super().info, languages=("en",))


def talk_over(text: str, seconds: float, language: str):
    script = Script()
    first = script.say("你好", 1.0)
    said = (first, silence(3), script.say(text, seconds), silence(8))
    log, fake = converse(*said, script=script, words=TEN, language=language)
    return [event.action for event in log.of(PlaybackControl)], log, fake


@pytest.mark.parametrize(
    ("text", "wait"),
    [
        ("今天天气怎么样", 0.46),  # as soon as the words are known
        ("请给我讲一个故事", 0.46),
        ("我昨天去了北京", 0.46),
        ("我想去北京因为", 2.8),
        ("请帮我", 2.8),
    ],
)
def test_each_chinese_ending_is_waited_for_as_long_as_it_needs(text, wait):
    script = Script()
    log, fake = converse(script.say(text, 1.0), silence(6), script=script, language="zh")
    assert committed(log) == pytest.approx(1.0 + wait, abs=FRAME_S)
    assert [question for question, _ in fake.history] == [text]
    assert {event.language for event in log.of(UserTranscript)} == {"zh"}


def test_a_chinese_fragment_is_one_turn_with_what_follows_the_pause():
    script = Script()
    said = (script.say("请告诉我北京和", 1.0), silence(2.4), script.say("上海哪个大", 0.8))
    log, fake = converse(*said, silence(5), script=script, language="zh")
    assert [question for question, _ in fake.history] == ["请告诉我北京和 上海哪个大"]
    assert log.states.count(THINKING) == 1


@pytest.mark.parametrize("text", ["嗯", "对对", "好的", "真的吗"])
def test_a_chinese_backchannel_does_not_stop_the_reply(text):
    actions, log, fake = talk_over(text, 0.5, "zh")
    assert actions == [DUCK, HOLD, RESUME]
    assert fake.history == [("你好", " ".join(TEN))]
    assert not log.of(Interrupted)


@pytest.mark.parametrize(
    ("text", "seconds"), [("停", 0.5), ("等一下", 0.6), ("我们还是说说上海的事情", 1.5)]
)
def test_a_chinese_command_or_sentence_does(text, seconds):
    actions, log, fake = talk_over(text, seconds, "zh")
    assert actions == [DUCK, HOLD, STOP]
    assert log.of(Interrupted)[0].reason == f"you said “{text}”"
    assert [question for question, _ in fake.history] == ["你好", text]


def test_a_long_sentence_stops_the_reply_before_it_is_over():
    _, log, _ = talk_over("我们还是说说上海的事情", 3.0, "zh")
    stop = log.of(PlaybackControl)[-1]
    assert stop.at < (4.0 + 1.2) * USER_RATE


@pytest.mark.parametrize(("probability", "wait"), [(None, 0.7), (0.9, 0.46), (0.1, 1.4)])
def test_of_an_unknown_language_sound_and_silence_decide(probability, wait):
    script = Script()
    log, fake = converse(
        script.say("and", 1.0),  # an unfinished ending, were it English
        silence(6),
        script=script,
        language="th",
        end_of_turn=lambda clock: None if probability is None else Ear(clock, probability),
    )
    assert committed(log) == pytest.approx(1.0 + wait, abs=FRAME_S)
    judged = log.of(EndpointJudged)[-1]
    assert judged.phrase == "unknown"
    assert judged.reason.endswith("; no word rules for the end of a turn in Thai")
    assert len(fake.history) == 1


def test_over_a_reply_the_length_of_an_unknown_language_decides():
    actions, log, _ = talk_over("yeah", 0.6, "th")
    assert actions == [DUCK, HOLD, STOP]
    assert log.of(Interrupted)[0].reason.startswith("you spoke for")


def test_what_is_missing_for_a_language_is_told_once():
    script = Script()
    said = (script.say("one", 1.0), silence(6), script.say("two", 1.0), silence(6))
    log, _ = converse(*said, script=script, language="th", generator=EnglishVoice)
    assert [notice.text for notice in log.of(Notice)] == [
        "no voice for Thai: first speaks English, and will misread replies",
        "no word rules for Thai: your turns end by sound and silence alone",
    ]
    first = next(event for event in log.of(UserTranscript) if event.final)
    assert {notice.at for notice in log.of(Notice)} == {first.at}


def test_of_a_language_that_was_set_it_is_told_at_the_start():
    log, _ = converse(
        silence(1), script=Script(), language="zh", expected="zh", generator=EnglishVoice
    )
    (notice,) = log.of(Notice)
    assert "no voice for Chinese" in notice.text
    assert notice.at <= FRAME


def test_of_spanish_the_words_over_a_reply_are_known_and_last_words_are_not():
    assert talk_over("sí claro", 0.6, "es")[0] == [DUCK, HOLD, RESUME]
    assert talk_over("para", 0.6, "es")[0][-1] is STOP
    log, _ = converse(silence(1), script=Script(), language="es", expected="es")
    (notice,) = log.of(Notice)
    assert notice.text.startswith("no word rules for the end of a turn in Spanish: your turns")


class SpanishVoice(FakeGenerator):
    """A generator whose voice speaks Spanish, with a chat model that writes English."""

    @property
    def info(self) -> EngineInfo:
        return replace(super().info, languages=("es",), writes=("en",))


def test_a_voice_that_cannot_speak_what_the_model_writes_is_told_at_the_start():
    log, _ = converse(silence(1), script=Script(), generator=SpanishVoice)
    (notice,) = log.of(Notice)
    assert "first speaks Spanish, and will misread what the chat model writes" in notice.text


def test_of_english_nothing_is_told():
    script = Script()
    log, _ = converse(
        script.say("Hello.", 1.0), silence(4), script=script, generator=EnglishVoice, expected="en"
    )
    assert not log.of(Notice)
