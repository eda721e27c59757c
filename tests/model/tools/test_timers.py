"""Timers: the tool, and their ring in a conversation, in virtual time."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from itertools import pairwise

import numpy as np
import pytest

from audio_io.clock import FRAME, USER_RATE, samples
from audio_io.levels import from_db
from audio_io.signal import Audio
from covo_cli.sessions.event_log import RecordedRing, event_from_dict, event_to_dict
from covo_cli.sessions.transcript import Who, transcript
from model.engine import Interrupt, SayText, SetMuted
from model.errors import ToolError
from model.events import (
    ReplyFinished,
    SpeculationDiscarded,
    StateChanged,
    TimerRang,
    ToolAnswered,
    ToolCalled,
    ToolOutcome,
)
from model.playback.timers import (
    AGAIN_S,
    LONGEST_S,
    MOST_TIMERS,
    RING_DB,
    RINGS,
    Timers,
    in_words,
)
from model.reply import ReplyPart, ReplyToolCall, ReplyToolResult, ReplyWaits, UserTurn
from model.tools.timer import LONGEST_NAME, timer_tool
from model.turns.turn_settings import TurnSettings
from tests.fakes.engine import FakeGenerator, silence, speech
from tests.fakes.talks import LISTENING, SPEAKING, USER_SPEAKING, Log, converse

Wish = Mapping[str, object]
TEA = {"do": "set", "seconds": 8, "name": "tea"}


@dataclass
class TimerSetter(FakeGenerator):
    """Uses the timer as wished once the turn is over: the first wishes in the first reply."""

    tool_of: Timers = field(default_factory=Timers)
    wishes: tuple[tuple[Wish, ...], ...] = ()

    def reply(
        self, reply_id: int, turn: UserTurn, cancelled: Callable[[], bool]
    ) -> Iterator[ReplyPart]:
        while not turn.over():
            self.clock.pass_time(0.02)
            yield ReplyWaits()
        wishes = self.wishes[min(len(self.turns), len(self.wishes) - 1)]
        for number, wish in enumerate(wishes, reply_id * 10):
            yield ReplyToolCall(number, "timer", "{}")
            try:
                told = timer_tool(self.tool_of).run(wish, cancelled)
                yield ReplyToolResult(number, "timer", ToolOutcome.DONE, told)
            except ToolError as error:
                yield ReplyToolResult(number, "timer", ToolOutcome.FAILED, str(error))
        yield from super().reply(reply_id, turn, cancelled)


def talk(*audio: Audio, wishes: tuple[tuple[Wish, ...], ...] = ((TEA,),), **more: object) -> Log:
    timers = Timers()
    more = {"generator": TimerSetter, "tool_of": timers, **more}
    return converse(*audio, wishes=wishes, timers=timers, **more)[0]


def rings(log: Log) -> list[tuple[int, str, int]]:
    return [(event.at, event.name, event.ring) for event in log.of(TimerRang)]


def set_at(log: Log) -> int:
    called: ToolCalled = log.of(ToolCalled)[0]
    return called.at


def run(timers: Timers, **wish: object) -> str:
    return timer_tool(timers).run(wish, lambda: False)


def test_it_rings_on_the_sample_three_times_with_one_line() -> None:
    log = talk(speech(1.0), silence(24.0))
    first = set_at(log) + samples(8)
    again = samples(AGAIN_S)
    assert rings(log) == [(first + n * again, "tea", n + 1) for n in range(RINGS)]
    begin = first / USER_RATE
    assert log.level(begin, begin + 0.8) == pytest.approx(from_db(RING_DB), rel=1e-3)
    assert log.level(begin + 0.8, begin + AGAIN_S) == 0.0
    assert [e.who for e in transcript(log.events)] == [
        Who.USER,
        Who.TOOL,
        Who.ASSISTANT,
        Who.TOOL,
    ]
    assert transcript(log.events)[-1].text == "timer rings: tea"
    ring = log.of(TimerRang)[0]
    kept = event_from_dict(event_to_dict(ring))
    assert kept == RecordedRing(ring.at, ring.number, len(ring.samples), "tea", 1)
    assert transcript([ring]) == transcript([kept])


def test_it_waits_for_the_end_of_a_reply() -> None:
    log = talk(speech(1.0), silence(6.0), wishes=(({"do": "set", "seconds": 1},),))
    ended = log.of(ReplyFinished)[0].at
    assert ended > set_at(log) + samples(1)
    assert rings(log)[0] == (ended, "1 second", 1)
    begun = next(e.at for e in log.of(StateChanged) if e.state is SPEAKING)
    assert log.level(begun / USER_RATE, (begun + FRAME) / USER_RATE) == pytest.approx(0.5)


def test_two_that_are_due_at_once_ring_one_after_the_other() -> None:
    log = talk(speech(1.0), silence(16.0), wishes=((TEA, {**TEA, "name": "eggs"}),))
    told = rings(log)
    assert [(name, ring) for _, name, ring in told[:4]] == [
        ("tea", 1),
        ("eggs", 1),
        ("tea", 2),
        ("eggs", 2),
    ]
    lengths = [len(event.samples) * 2 // 3 for event in log.of(TimerRang)]
    assert all(b[0] - a[0] > n for (a, b), n in zip(pairwise(told), lengths, strict=False))
    assert len({event.number for event in log.of(TimerRang)}) == len(told)


def test_a_cancelled_one_does_not_ring() -> None:
    cancel = {"do": "cancel", "name": "Tea"}
    log = talk(speech(1.0), silence(4.0), speech(1.0), silence(12.0), wishes=((TEA,), (cancel,)))
    assert [event.result for event in log.of(ToolAnswered)] == [
        "set: tea rings in 8 seconds",
        "cancelled: tea",
    ]
    assert rings(log) == []


@pytest.mark.parametrize("command", [Interrupt(), SetMuted(False)])
def test_a_key_ends_the_ringing(command: Interrupt | SetMuted) -> None:
    log = talk(speech(1.0), silence(24.0), commands={12.0: command})
    assert [ring for _, _, ring in rings(log)] == [1]


def test_speaking_and_typing_end_the_ringing() -> None:
    nothing: tuple[Wish, ...] = ()
    spoken = talk(speech(1.0), silence(11.5), speech(1.0), silence(14.0), wishes=((TEA,), nothing))
    assert rings(spoken) == [(set_at(spoken) + samples(8), "tea", 1)]
    typed = talk(
        speech(1.0),
        silence(24.0),
        wishes=((TEA,), nothing),
        commands={12.0: SayText("stop it")},
    )
    assert [ring for _, _, ring in rings(typed)] == [1]


@pytest.mark.parametrize("barge_in", [True, False])
def test_its_echo_is_not_the_user(barge_in: bool) -> None:
    settings = TurnSettings(barge_in=barge_in)
    quiet = talk(speech(1.0), silence(24.0), settings=settings)
    echo = np.concatenate([speech(1.0), silence(24.0)])
    for event in quiet.of(TimerRang):
        echo[event.at : event.at + samples(0.8)] = 0.02
    log = talk(echo, settings=settings)
    assert rings(log) == rings(quiet)
    assert len(rings(log)) == RINGS
    assert log.states.count(USER_SPEAKING) == 1


def test_it_rings_once_while_the_user_speaks_and_disturbs_no_turn() -> None:
    audio = (speech(1.0), silence(6.0), speech(8.0), silence(8.0))
    log = talk(*audio, wishes=((TEA,), ()))
    assert rings(log) == [(set_at(log) + samples(8), "tea", 1)]
    without = talk(*audio, wishes=((),))
    assert log.states == without.states
    # Without barge-in, nothing is heard during a ring: it waits for the end of the reply.
    deaf = talk(*audio, wishes=((TEA,), ()), settings=TurnSettings(barge_in=False))
    assert rings(deaf)[0] == (deaf.of(ReplyFinished)[1].at, "tea", 1)


def test_in_a_pause_that_may_end_the_turn_it_waits_for_the_reply() -> None:
    due = set_at(talk(speech(1.0), silence(6.0))) + samples(8)
    second = due / USER_RATE - 0.24 - 7.0
    log = talk(speech(1.0), silence(6.0), speech(second), silence(6.0), wishes=((TEA,), ()))
    states = [e.state for e in log.of(StateChanged) if e.at <= due]
    assert states[-1] is USER_SPEAKING
    assert rings(log)[0] == (log.of(ReplyFinished)[1].at, "tea", 1)


def test_it_rings_to_a_muted_microphone() -> None:
    log = talk(speech(1.0), silence(14.0), commands={6.0: SetMuted(True)})
    assert rings(log)[0] == (set_at(log) + samples(8), "tea", 1)
    assert log.states[-1] is not LISTENING


def test_what_a_reply_set_stands_although_the_reply_never_happened() -> None:
    """The user goes on after the call: the turn is answered again, and is told of the timer."""
    log = talk(speech(1.0), silence(1.0), speech(1.0), silence(14.0), think_cost=3.0)
    answered: list[ToolAnswered] = log.of(ToolAnswered)
    assert len(log.of(SpeculationDiscarded)) >= 1
    assert [event.outcome for event in answered] == [ToolOutcome.DONE, ToolOutcome.FAILED]
    assert answered[1].result.startswith("there is a timer tea already")
    (at, *first), due = rings(log)[0], log.of(ToolCalled)[0].at + samples(8)
    assert first == ["tea", 1]
    assert due <= at <= due + samples(0.1)  # once the second reply is over


def test_setting_listing_and_cancelling() -> None:
    timers = Timers()
    assert run(timers, do="list") == "no timer is set"
    assert run(timers, do="set", minutes=1.5) == (
        "set: 1 minute 30 seconds rings in 1 minute 30 seconds"
    )
    assert run(timers, do="set", seconds=90).startswith("set: 1 minute 30 seconds (2) rings")
    assert run(timers, do="set", minutes=1, seconds=5, name=" soft\neggs ").startswith(
        "set: soft e"
    )
    timers.tick(samples(10))
    assert run(timers, do="list") == (
        "soft eggs: 55 seconds left; 1 minute 30 seconds: 1 minute 20 seconds left; "
        "1 minute 30 seconds (2): 1 minute 20 seconds left"
    )
    assert run(timers, do="cancel", name="SOFT eggs") == "cancelled: soft eggs"
    timers.tick(samples(90))
    assert timers.describe()[0] == "1 minute 30 seconds: ringing"
    assert in_words(3600 + 61) == "1 hour 1 minute 1 second"


@pytest.mark.parametrize(
    ("wish", "told"),
    [
        ({}, "timer: do"),
        ({"do": "stop"}, "timer: do must be cancel or list or set, not 'stop'"),
        ({"do": "set"}, "a timer takes 1 second to 24 hours, not 0 s"),
        ({"do": "set", "seconds": LONGEST_S + 1}, "a timer takes 1 second to 24 hours, not 864"),
        ({"do": "set", "seconds": 1e300, "minutes": 1e307}, "a timer takes 1 second to 24 hours"),
        ({"do": "set", "seconds": -5}, "timer: seconds must be"),
        ({"do": "set", "seconds": float("nan")}, "timer: seconds must be a finite number"),
        ({"do": "set", "minutes": "five"}, "timer: minutes must be"),
        ({"do": "set", "minutes": 5, "name": "x" * (LONGEST_NAME + 1)}, "the name of a timer has"),
        ({"do": "set", "minutes": 5, "name": "TEA"}, "there is a timer TEA already: cancel it"),
        ({"do": "cancel", "name": "soup"}, "there is no timer soup, only tea, 1 hour"),
        ({"do": "cancel"}, "there are several timers, name one of them: tea, 1 hour"),
    ],
)
def test_a_bad_wish_is_one_clear_line(wish: Wish, told: str) -> None:
    timers = Timers()
    timers.set(300, "tea")
    timers.set(3600)
    with pytest.raises(ToolError) as error:
        run(timers, **wish)
    assert str(error.value).startswith(told)
    assert "\n" not in str(error.value)


def test_there_are_only_so_many() -> None:
    timers = Timers()
    for _ in range(MOST_TIMERS):
        timers.set(60)
    with pytest.raises(ToolError, match=f"there are {MOST_TIMERS} timers already: cancel one"):
        timers.set(60)
    assert len(set(timers.describe())) == MOST_TIMERS
    with pytest.raises(ToolError, match="no timer is set"):
        Timers().cancel()


@dataclass
class ThinkingSetter(TimerSetter):
    """Sets the timer after a thought that the conversation's clock has yet to go through."""

    def reply(
        self, reply_id: int, turn: UserTurn, cancelled: Callable[[], bool]
    ) -> Iterator[ReplyPart]:
        while not turn.over():
            self.clock.pass_time(0.02)
            yield ReplyWaits()
        self.clock.pass_time(1.5)
        told = timer_tool(self.tool_of).run(TEA, cancelled)
        yield ReplyToolCall(1, "timer", "{}")
        yield ReplyToolResult(1, "timer", ToolOutcome.DONE, told)


def test_it_counts_from_when_the_user_is_told_that_it_is_set() -> None:
    log = talk(speech(1.0), silence(16.0), generator=ThinkingSetter)
    [answered] = log.of(ToolAnswered)
    assert rings(log)[0] == (answered.at + samples(8), "tea", 1)
