"""Turn taking around a network that hears the turn itself, or that only writes."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import pytest

from audio_io.clock import samples
from model.engine import EngineInfo
from model.errors import RecognizerError
from model.events import (
    AssistantAudio,
    AssistantText,
    Notice,
    ReplyFinished,
    ReplyStarted,
    StateChanged,
    TurnDiscarded,
    TurnLatency,
    UserTranscript,
)
from model.reply import ReplyAudio, ReplyNotice, ReplyPart, UserTurn
from tests.fakes.engine import FakeGenerator, silence, speech
from tests.fakes.talks import LISTENING, SPEAKING, THINKING, USER_SPEAKING, converse


class HearsItself(FakeGenerator):
    """Is begun before the user's words are known, and has a remark."""

    hears = True

    def reply(
        self, reply_id: int, turn: UserTurn, cancelled: Callable[[], bool]
    ) -> Iterator[ReplyPart]:
        yield ReplyNotice("info", "a remark")
        yield from super().reply(reply_id, turn, cancelled)


def test_words_may_come_later_than_their_answer():
    log, fake = converse(
        *(speech(1), silence(8)), generator=HearsItself, recognize_cost=2.0, speak_cost=1.0
    )
    assert fake.turns[0].text is None
    (said,) = [event for event in log.of(UserTranscript) if event.final]
    assert (said.turn, said.text, said.final, said.end) == (1, "hello", True, samples(1.0))
    assert said.at > log.of(ReplyStarted)[0].at + samples(0.6)  # the turn is over by then
    (latency,) = log.of(TurnLatency)
    # Nobody waited for the words.
    assert latency.parts["recognize"] == 0
    assert latency.parts["think"] == pytest.approx(0.1, abs=0.021)
    assert latency.total == pytest.approx(0.16 + 0.1 + 1.0, abs=0.041)


def test_a_remark_on_a_reply_is_told_when_its_turn_is_sure():
    log, _ = converse(speech(1), silence(0.4), speech(1), silence(5), generator=HearsItself)
    (notice,) = log.of(Notice)  # not that of the speculation which was thrown away
    assert (notice.level, notice.text) == ("info", "a remark")
    committed = next(e for e in log.of(StateChanged) if e.state is THINKING)
    assert notice.at == committed.at


def test_a_noise_is_not_answered_by_what_hears_it():
    talk = (speech(1), silence(4))
    log, fake = converse(*talk, generator=HearsItself, recognized=lambda audio: "")
    assert [event.reason for event in log.of(TurnDiscarded)] == ["nothing recognised"]
    assert not log.of(ReplyStarted)
    assert fake.history == []
    # One that already sounds is not withdrawn.
    log, _ = converse(*talk, generator=HearsItself, recognized=lambda audio: "", recognize_cost=1.5)
    assert len(log.of(ReplyFinished)) == 1
    assert not log.of(TurnDiscarded)


def test_a_failing_recogniser_does_not_fail_the_reply():
    def fail(audio: object) -> str:
        raise RecognizerError("no model")

    log, _ = converse(speech(0.5), silence(4), generator=HearsItself, recognized=fail)
    told = ["what you said could not be written: no model", "a remark"]
    assert [event.text for event in log.of(Notice)] == told
    assert len(log.of(ReplyFinished)) == 1


def test_without_a_recogniser_the_reply_comes_all_the_same():
    log, _ = converse(*(speech(1), silence(4)), generator=HearsItself, without_recognizer=True)
    assert len(log.of(ReplyFinished)) == 1
    assert not log.of(UserTranscript)


class OnlyWrites(FakeGenerator):
    """Gives text and no sound."""

    @property
    def info(self) -> EngineInfo:
        return EngineInfo("fake", "a fake that only writes", "", "cpu", {}, speaks=False)

    def reply(
        self, reply_id: int, turn: UserTurn, cancelled: Callable[[], bool]
    ) -> Iterator[ReplyPart]:
        for part in super().reply(reply_id, turn, cancelled):
            if not isinstance(part, ReplyAudio):
                yield part


def test_a_reply_that_is_only_written():
    log, _ = converse(speech(1), silence(3), generator=OnlyWrites)
    assert log.states == [USER_SPEAKING, THINKING, SPEAKING, LISTENING]
    assert log.of(AssistantAudio) == []
    assert "".join(e.delta for e in log.of(AssistantText)) == "one two three four "
    assert log.of(ReplyFinished)[0].text == "one two three four "
    assert log.of(Notice) == []
