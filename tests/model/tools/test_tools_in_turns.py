"""Tools in a conversation: the events, their order, and interruptions, in virtual time."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np

from audio_io.clock import seconds
from covo_cli.sessions.event_log import event_from_dict, event_to_dict
from covo_cli.sessions.transcript import Who, transcript
from model.engine import Interrupt
from model.events import (
    Event,
    Interrupted,
    ReplyFinished,
    StateChanged,
    ToolAnswered,
    ToolCalled,
    ToolOutcome,
    TurnState,
)
from model.reply import (
    ReplyAudio,
    ReplyPart,
    ReplyText,
    ReplyToolCall,
    ReplyToolResult,
    ReplyWaits,
    UserTurn,
)
from tests.fakes.engine import FakeGenerator, silence, speech
from tests.fakes.talks import converse


@dataclass
class ToolGenerator(FakeGenerator):
    """Uses a tool for ``tool_seconds`` before it says "done"."""

    tool_seconds: float = 2.0

    def reply(
        self, reply_id: int, turn: UserTurn, cancelled: Callable[[], bool]
    ) -> Iterator[ReplyPart]:
        self.turns.append(turn)
        self._questions[reply_id] = turn.text or ""
        while not turn.over():
            self.clock.pass_time(0.02)
            yield ReplyWaits()
        yield ReplyToolCall(1, "oven", '{"state": "off"}')
        until = self.clock.now + self.tool_seconds
        while self.clock.now < until:
            self.clock.pass_time(0.02)
            yield ReplyWaits()
        yield ReplyToolResult(1, "oven", ToolOutcome.DONE, "it is\noff")
        yield ReplyText("done")
        yield ReplyAudio(np.full(12_000, 0.5, np.float32), "done")


def tool_events(events: list[Event]) -> list[ToolCalled | ToolAnswered]:
    return [event for event in events if isinstance(event, ToolCalled | ToolAnswered)]


def test_a_call_is_made_after_the_turn_and_told_in_its_place() -> None:
    log, fake = converse(speech(1.0), silence(6.0), generator=ToolGenerator)
    called, answered = tool_events(log.events)
    over = next(e.at for e in log.of(StateChanged) if e.state is TurnState.THINKING)
    assert called.at >= over
    assert 2.0 <= seconds(answered.at - called.at) <= 2.1
    assert (called.tool, called.arguments) == ("oven", '{"state": "off"}')
    assert (answered.outcome, answered.result) == (ToolOutcome.DONE, "it is\noff")
    assert answered.at <= log.of(ReplyFinished)[0].at
    assert fake.history == [("hello", "done")]
    assert [event_from_dict(event_to_dict(e)) for e in (called, answered)] == [called, answered]
    said = transcript(log.events)
    assert [entry.who for entry in said] == [Who.USER, Who.TOOL, Who.ASSISTANT]
    assert said[1].text == 'oven {"state": "off"} → it is\noff'


def test_interrupting_cancels_the_call() -> None:
    log, _ = converse(
        speech(1.0), silence(6.0), generator=ToolGenerator, commands={2.5: Interrupt()}
    )
    called, answered = tool_events(log.events)
    assert (answered.outcome, answered.call) == (ToolOutcome.CANCELLED, called.call)
    assert seconds(answered.at) < 2.6
    assert [event.heard for event in log.of(Interrupted)] == [""]


def test_speaking_cancels_the_call_and_makes_it_anew() -> None:
    log, fake = converse(
        speech(1.0), silence(1.5), speech(1.0), silence(6.0), generator=ToolGenerator
    )
    ends = [e.outcome for e in tool_events(log.events) if isinstance(e, ToolAnswered)]
    assert ends == [ToolOutcome.CANCELLED, ToolOutcome.DONE]
    assert len(fake.history) == 1
