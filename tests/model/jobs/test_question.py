"""Asking a model beside the loop: one answer, one notice, and what is not wanted any more."""

from __future__ import annotations

import logging

import pytest

from model.errors import ModelError
from model.events import Notice
from model.jobs.executor import VirtualExecutor
from model.jobs.question import Question
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
