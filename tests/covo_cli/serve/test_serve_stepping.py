"""The threads that step a server's conversations."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator

import pytest
from websockets.exceptions import ConnectionClosed

from covo_cli.conversation.conversation import Ending
from covo_cli.serve.stepping import MOST_THREADS, Stepper
from tests.covo_cli.serve.live_server import opened, receive, send, serving, until


class Talk:
    """A conversation and its microphone: a frame is due every 10 ms until ``ending`` is set."""

    def __init__(self) -> None:
        self.due = 0.0
        self.ending: Ending | BaseException | None = None
        self.told: list[Ending] = []
        self.steps = self.together = 0
        self.threads: set[int] = set()
        self.open = threading.Event()
        self.open.set()

    def advance(self, timeout: float) -> Ending | None:
        assert timeout == 0.0
        self.together += 1
        assert self.together == 1
        self.threads.add(threading.get_ident())
        self.open.wait()
        self.due = time.monotonic() + 0.01
        self.steps += 1
        self.together -= 1
        if isinstance(self.ending, BaseException):
            raise self.ending
        return self.ending


def threads() -> int:
    return sum(thread.name == "covo-sessions" for thread in threading.enumerate())


@pytest.fixture
def talks() -> Iterator[list[Talk]]:
    talks, stepper = [Talk() for _ in range(20)], Stepper()
    until(lambda: not threads())
    for talk in talks:
        stepper.hold(talk, talk, talk.told.append)
    yield talks
    for talk in talks:
        talk.ending = talk.ending or Ending.QUIT
        talk.open.set()
    until(lambda: all(talk.told for talk in talks) and not threads())
    assert all(len(talk.told) == 1 for talk in talks)


def stepped(talks: list[Talk], times: int = 5) -> bool:
    before = [talk.steps for talk in talks]
    until(lambda: all(t.steps >= n + times for t, n in zip(talks, before, strict=True)), 5.0)
    return True


def test_many_conversations_share_few_threads(talks):
    assert stepped(talks)
    assert threads() == MOST_THREADS


def test_steps_that_last_hold_up_no_other_conversation(talks):
    stuck, others = talks[:3], talks[3:]
    for talk in stuck:
        talk.open.clear()
    until(lambda: all(talk.together for talk in stuck))
    assert stepped(others)


def test_a_conversation_that_fails_ends_alone(talks, caplog):
    talks[0].ending = ValueError("no such thing")
    talks[1].ending = Ending.INPUT_OVER
    until(lambda: talks[0].told and talks[1].told)
    assert (talks[0].told, talks[1].told) == ([Ending.ERROR], [Ending.INPUT_OVER])
    assert "no such thing" in caplog.text
    count = talks[0].steps
    assert stepped(talks[2:])
    assert talks[0].steps == count


def test_an_engine_that_fails_breaks_off_its_own_session_only(monkeypatch):
    def fail(frame):
        raise ValueError("no such thing")

    with serving(2, words=["one"], word_seconds=0.05) as server:
        monkeypatch.setattr(server.places._free[0], "process", fail)
        with opened(server) as failing, opened(server) as other:
            with pytest.raises(ConnectionClosed):
                receive(failing, "session.updated")
            assert failing.close_code == 1011
            assert failing.close_reason == "the conversation broke off"
            send(other, "response.create")
            assert receive(other, "response.done")[-1]["response"]["status"] == "completed"
        until(lambda: not server.places.busy)
