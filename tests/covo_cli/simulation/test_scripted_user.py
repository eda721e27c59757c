"""The user made of recordings: when each line begins, on a clock of frames."""

from __future__ import annotations

import numpy as np
import pytest

from audio_io.clock import FRAME, samples
from covo_cli.conversation.consumer import Tick
from covo_cli.simulation.scripted_user import PATIENCE, REST, Line, ScriptedUser, Start, StartRule
from model.events import Event, ReplyStarted, StateChanged, TurnState
from tests.fakes.engine import speech


def said(*starts: Start) -> ScriptedUser:
    return ScriptedUser([Line(speech(0.5), "words", start) for start in starts], paced=False)


class Room:
    """Turns the crank: what the user says is kept, what the assistant does is told."""

    def __init__(self, user: ScriptedUser) -> None:
        self.user = user
        self.heard: list[np.ndarray] = []

    def pass_time(self, seconds: float, *events: Event, sound: bool = False) -> None:
        for n in range(samples(seconds) // FRAME):
            self.heard.append(self.user.read(0.1))
            assistant = np.full(480, 0.1 if sound else 0.0, np.float32)
            happened = events if n == 0 else ()
            self.user.on_tick(Tick(len(self.heard) * FRAME, self.heard[-1], assistant, happened))

    def state(self, state: TurnState) -> None:
        self.pass_time(0.02, StateChanged(0, state, "a test"))

    @property
    def starts(self) -> list[float]:
        return [start / 16_000 for start, _ in self.user.spoken]


def test_lines_at_fixed_times_may_overlap():
    room = Room(said(Start(StartRule.AT, 1.0), Start(StartRule.AT, 1.2)))
    room.pass_time(3.0)
    assert room.starts == [1.0, 1.2]
    sound = np.concatenate(room.heard)
    assert sound[samples(1.1)] == pytest.approx(0.1)
    assert sound[samples(1.3)] == pytest.approx(0.2)
    assert sound[samples(1.6)] == pytest.approx(0.1)
    assert sound[samples(1.75)] == 0


def test_a_line_after_a_line_does_not_wait_for_the_assistant():
    room = Room(said(Start(StartRule.AT, 0.2), Start(StartRule.AFTER_LINE, 1.5)))
    room.pass_time(1.0)
    room.pass_time(2.0, ReplyStarted(0, 1, 1), sound=True)
    assert room.starts == [0.2, pytest.approx(0.2 + 0.5 + 1.5)]


def test_a_line_over_a_reply_counts_only_what_was_heard_of_it():
    over = Start(StartRule.DURING_REPLY, 1.0)
    room = Room(said(Start(StartRule.AT, 0.0), over, over))
    room.pass_time(1.0)
    room.state(TurnState.USER_SPEAKING)
    room.pass_time(0.5, ReplyStarted(0, 1, 1))  # let through, but nothing to hear yet
    began = len(room.heard) * FRAME / 16_000
    room.pass_time(4.0, sound=True)
    assert room.starts[1] == pytest.approx(began + 1.0, abs=0.021)
    # The next one is counted from the end of that line, the reply going on.
    assert room.starts[2] == pytest.approx(room.starts[1] + 0.5 + 1.0, abs=0.021)


def test_a_line_that_comes_too_late_for_the_reply_is_said_all_the_same():
    room = Room(said(Start(StartRule.AT, 0.0), Start(StartRule.DURING_REPLY, 5.0)))
    room.pass_time(1.0)
    room.state(TurnState.USER_SPEAKING)
    room.pass_time(2.0, ReplyStarted(0, 1, 1), sound=True)
    room.state(TurnState.LISTENING)
    ended = len(room.heard) * FRAME / 16_000
    room.pass_time(2.0)
    assert room.starts[1] == pytest.approx(ended + REST, abs=0.041)


def test_a_line_after_a_reply_waits_until_nothing_is_under_way():
    room = Room(said(Start(StartRule.AFTER_REPLY, 0.5), Start(StartRule.AFTER_REPLY, 0.5)))
    room.pass_time(1.0)
    room.state(TurnState.USER_SPEAKING)
    room.pass_time(10.0, ReplyStarted(0, 1, 1), sound=True)
    assert room.starts == [0.5]
    room.state(TurnState.LISTENING)
    room.pass_time(1.0)
    assert len(room.starts) == 2


def test_a_user_whom_nobody_hears_goes_on():
    room = Room(said(Start(StartRule.AT, 0.0), Start(StartRule.AFTER_REPLY, 0.2)))
    room.pass_time(0.5 + PATIENCE - 0.1)
    assert len(room.starts) == 1
    room.pass_time(0.4)
    assert len(room.starts) == 2


def test_what_was_heard_of_the_answer_is_known():
    room = Room(said(Start(StartRule.AT, 0.0)))
    room.pass_time(1.0)
    room.pass_time(2.0, ReplyStarted(0, 1, 1), sound=True)
    assert room.user.all_said
    assert room.user.heard == pytest.approx(samples(2.0), abs=2 * FRAME)
    room.state(TurnState.INTERRUPTED)
    assert room.user.heard == 0


def test_a_start_before_something_is_refused():
    with pytest.raises(ValueError, match="cannot start"):
        Start(StartRule.AFTER_LINE, -0.1)
