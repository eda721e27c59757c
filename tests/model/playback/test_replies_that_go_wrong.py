"""Replies that come slowly, break off or have no sound: what is heard is what is told."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import numpy as np
import pytest

from model.errors import ModelError
from model.events import (
    AssistantText,
    Interrupted,
    Notice,
    ReplyFinished,
    ReplyStarted,
    TurnLatency,
)
from model.reply import ReplyAudio, ReplyPart, ReplyText, UserTurn
from tests.fakes.engine import FakeGenerator, FakeSpeaker, silence, speech
from tests.fakes.talks import converse

HEARD, LOST = "The capital is Paris. ", "It lies on the river"


class BrokenOff(FakeGenerator):
    """Writes more than it says, and fails."""

    def reply(
        self, reply_id: int, turn: UserTurn, cancelled: Callable[[], bool]
    ) -> Iterator[ReplyPart]:
        self._questions[reply_id] = turn.text or ""
        yield ReplyText(HEARD)
        yield ReplyAudio(np.full(24_000, 0.5, np.float32), HEARD)
        yield ReplyText(LOST)
        raise ModelError("the endpoint has gone")


class WithoutSound(FakeGenerator):
    """Writes a reply that it cannot say."""

    def reply(
        self, reply_id: int, turn: UserTurn, cancelled: Callable[[], bool]
    ) -> Iterator[ReplyPart]:
        self._questions[reply_id] = turn.text or ""
        yield ReplyText("巴黎。")


def test_a_reply_that_breaks_off_is_told_as_far_as_it_was_heard():
    log, fake = converse(speech(1), silence(5), speech(1), silence(5), generator=BrokenOff)
    cuts = log.of(Interrupted)
    assert [(cut.heard, cut.unheard) for cut in cuts] == [(HEARD, LOST)] * 2
    assert cuts[0].reason == "the reply broke off"
    assert log.of(ReplyFinished) == []
    assert fake.history == [("hello", HEARD.strip())] * 2
    assert [n.text for n in log.of(Notice)] == ["the endpoint has gone"] * 2


def test_a_reply_without_sound_is_shown_and_does_not_count_as_spoken():
    log, fake = converse(speech(1), silence(5), generator=WithoutSound)
    assert [e.delta for e in log.of(AssistantText)] == ["巴黎。"]
    assert len(log.of(ReplyStarted)) == len(log.of(ReplyFinished)) == 1
    assert log.of(TurnLatency) == []
    assert [n.text for n in log.of(Notice)] == ["the reply could not be spoken: read it here"]
    assert fake.history == [("hello", "巴黎。")]


def test_a_reply_that_comes_slowly_is_heard_to_its_end():
    speaker = FakeSpeaker()
    log, fake = converse(speech(1), silence(40), speak_cost=9.0, speaker=speaker)
    assert log.of(ReplyFinished)[0].text == "one two three four "
    assert log.of(Interrupted) == log.of(Notice) == []
    assert fake.history == [("hello", "one two three four")]
    assert speaker._playout.gaps == 3


@pytest.mark.parametrize("word_seconds", [0.5, 500.0])
def test_an_endless_reply_is_cut_and_the_conversation_goes_on(monkeypatch, word_seconds):
    monkeypatch.setattr("model.turns.answer.LONGEST_REPLY_S", 3.0)
    talk = [speech(1), silence(6), speech(1), silence(6)]
    log, fake = converse(*talk, words=["word"] * 5000, word_seconds=word_seconds)
    cuts = log.of(Interrupted)
    assert [cut.heard_samples for cut in cuts] == [3 * 24_000] * 2
    assert [n.text for n in log.of(Notice)] == ["the reply was cut after 4 minutes of speech"] * 2
    assert [len(heard.split()) for _, heard in fake.history] == [6 if word_seconds < 1 else 1] * 2
