"""Asking a model beside the loop: one answer, one notice, and what is not wanted any more."""

from __future__ import annotations

import logging
from functools import partial

import pytest

from model.errors import ModelError
from model.events import Notice
from model.jobs.question import Question, ReadingAhead
from model.jobs.virtual_executor import VirtualExecutor
from tests.fakes.copyable import Clock, DoneExecutor
from tests.fakes.engine import FakeClock

SECOND = 16_000


class Model:
    """Answers in a second of ``clock``, or fails with ``error``."""

    def __init__(self) -> None:
        self.clock = FakeClock()
        self.error: Exception | None = None

    def __call__(self) -> int:
        self.clock.pass_time(1.0)
        if self.error is not None:
            raise self.error
        return 7


def question(model: Model, *, retries: bool = False) -> Question[int]:
    return Question(
        VirtualExecutor(model.clock), "a lane", model="it", trouble="no answer", retries=retries
    )


def test_an_answer_comes_in_its_time_and_stays():
    asked = question(model := Model())
    asked.ask(0, model)
    assert asked.poll(SECOND - 1) == []
    assert (asked.answer, asked.pending) == (None, True)
    assert asked.poll(SECOND) == []
    assert (asked.answer, asked.pending) == (7, False)
    asked.drop()
    assert asked.answer is None


def test_what_was_dropped_is_not_answered():
    asked = question(model := Model())
    asked.ask(0, model)
    asked.drop()
    assert asked.poll(9 * SECOND) == []
    assert asked.answer is None


@pytest.mark.parametrize("error", [ModelError("broken"), ValueError("broken")])
def test_a_failure_is_logged_and_one_notice(error, caplog):
    asked = question(model := Model())
    model.error = error
    asked.ask(0, model)
    with caplog.at_level(logging.WARNING):
        (notice,) = asked.poll(SECOND)
    assert isinstance(notice, Notice)
    assert notice.text.startswith("no answer: ")
    assert "broken" in notice.text
    assert "broken" in caplog.text
    assert (asked.failed, asked.disabled) == (True, True)
    asked.ask(2 * SECOND, model)
    assert asked.poll(9 * SECOND) == []


def test_a_question_that_retries_tells_of_the_same_failure_once():
    asked = question(model := Model(), retries=True)
    model.error = ModelError("broken")
    told = []
    for at in (0, 3, 6):
        asked.ask(at * SECOND, model)
        told += asked.poll((at + 2) * SECOND)
    assert len(told) == 1
    model.error = None
    asked.ask(9 * SECOND, model)
    asked.poll(11 * SECOND)
    assert asked.answer == 7


def read_of(
    *heard: str, after: tuple[object, ...] = (), spaced: bool = True, enough: int = 3
) -> list[str]:
    """What is read of the partial words ``heard``, where they follow something."""
    ahead = ReadingAhead(DoneExecutor(Clock()), "a lane", enough)
    read: list[str] = []
    for at, words in enumerate(heard):
        follows = after[at] if after else "a question"
        ahead.read(at, words, partial(read.append, words), after=follows, spaced=spaced)
    return read


def test_words_are_read_ahead_when_enough_of_them_is_new() -> None:
    words = ["could", "you", "tell", "me", "what", "it", "is", "about"]
    said = [" ".join(words[: n + 1]) for n in range(len(words))]
    assert read_of(*said) == [said[0], said[3], said[6]]
    assert read_of(*said, enough=6) == [said[0], said[6]]
    assert read_of("could", "could you tell me", "would you tell me") == [
        "could",
        "could you tell me",
        "would you tell me",
    ]
    assert read_of("could you tell me", "could you tell me", "could you") == ["could you tell me"]


def test_characters_count_where_there_are_no_spaces() -> None:
    text = "今天下午天气很好我们一起去公园散步吧"
    said = [text[: n + 1] for n in range(len(text))]
    assert read_of(*said, spaced=False) == [said[0], said[12]]
    assert read_of(*said, spaced=False, enough=4) == [said[0], said[16]]


def test_the_same_words_are_read_again_where_what_they_follow_has_changed() -> None:
    assert read_of("tell me", "tell me", "tell me", after=(1, 1, 2)) == ["tell me"] * 2


def test_one_thing_is_read_at_a_time_and_what_came_meanwhile_is_new() -> None:
    ahead = ReadingAhead(VirtualExecutor((model := Model()).clock), "a lane")
    read: list[str] = []

    def reading(words: str) -> None:
        model()
        read.append(words)

    for at, words in ((0, "could"), (1, "could you tell me"), (SECOND + 1, "could you tell me a")):
        ahead.read(at, words, partial(reading, words), after="", spaced=True)
    ahead.read(3 * SECOND, "could", lambda: None, after="", spaced=True)
    assert read == ["could", "could you tell me a"]
