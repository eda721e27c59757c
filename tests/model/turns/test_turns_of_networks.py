"""Turn taking around a network that hears the turn itself, or that only writes."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import pytest

from audio_io.clock import samples
from model.engine import EngineInfo
from model.events import (
    AssistantAudio,
    AssistantText,
    Notice,
    ReplyFinished,
    ReplyStarted,
    StateChanged,
    TurnLatency,
    UserTranscript,
)
from model.reply import ReplyAudio, ReplyNotice, ReplyPart, UserTurn
from tests.fakes.engine import FakeGenerator, silence, speech
from tests.fakes.talks import LISTENING, SPEAKING, THINKING, USER_SPEAKING, converse


class HearsItself(FakeGenerator):
    """Knows the user's words only after two words of its answer, and has a remark."""

    def reply(
        self, reply: int, turn: UserTurn, cancelled: Callable[[], bool]
    ) -> Iterator[ReplyPart]:
        parts = super().reply(reply, turn, cancelled)
        words = next(parts)
        yield ReplyNotice("info", "a remark")
        for number, part in enumerate(parts):
            if number == 4:
                yield words
            yield part


def test_words_may_come_later_than_their_answer():
    log, _ = converse(speech(1), silence(8), generator=HearsItself, speak_cost=1.0)
    (said,) = log.of(UserTranscript)
    assert (said.turn, said.text, said.final, said.end) == (1, "hello", True, samples(1.0))
    assert said.at > log.of(ReplyStarted)[0].at + samples(0.6)  # the turn is over by then
    (latency,) = log.of(TurnLatency)
    # Nobody waited for the words.
    assert latency.parts["recognize"] == 0
    assert latency.parts["think"] == pytest.approx(0.4, abs=0.021)
    assert latency.total == pytest.approx(0.16 + 0.4 + 1.0, abs=0.041)


def test_a_remark_on_a_reply_is_told_when_its_turn_is_sure():
    log, _ = converse(speech(1), silence(0.4), speech(1), silence(5), generator=HearsItself)
    (notice,) = log.of(Notice)  # not that of the speculation which was thrown away
    assert (notice.level, notice.text) == ("info", "a remark")
    committed = next(e for e in log.of(StateChanged) if e.state is THINKING)
    assert notice.at == committed.at


class OnlyWrites(FakeGenerator):
    """Gives text and no sound."""

    @property
    def info(self) -> EngineInfo:
        return EngineInfo("fake", "a fake that only writes", "", "cpu", {}, speaks=False)

    def reply(
        self, reply: int, turn: UserTurn, cancelled: Callable[[], bool]
    ) -> Iterator[ReplyPart]:
        for part in super().reply(reply, turn, cancelled):
            if not isinstance(part, ReplyAudio):
                yield part


def test_a_reply_that_is_only_written():
    log, _ = converse(speech(1), silence(3), generator=OnlyWrites)
    assert log.states == [USER_SPEAKING, THINKING, SPEAKING, LISTENING]
    assert log.of(AssistantAudio) == []
    assert "".join(e.delta for e in log.of(AssistantText)) == "one two three four "
    assert log.of(ReplyFinished)[0].text == "one two three four "
    assert log.of(Notice) == []
