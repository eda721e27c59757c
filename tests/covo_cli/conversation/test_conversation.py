"""The conversation's loop: what it does with its two ends and its consumers."""

from __future__ import annotations

import errno
from collections.abc import Sequence

import numpy as np
import pytest

from audio_io.clock import FRAME, samples
from audio_io.signal import Audio
from covo_cli.conversation.clock_watch import ClockWatch
from covo_cli.conversation.consumer import Consumer, Tick
from covo_cli.conversation.conversation import Conversation, Ending
from covo_cli.conversation.request import Quit
from covo_cli.errors import OutputClosed, SessionError
from covo_cli.simulation.scripted_user import Line, ScriptedUser, Start, StartRule
from model.engine import PushToTalk, SayText, SetMuted
from model.events import Interrupted, Notice, ReplyFinished, TurnState, UserTranscript
from model.jobs.virtual_executor import VirtualExecutor
from model.turns.controller import TurnTakingEngine
from tests.fakes.engine import (
    FakeClock,
    FakeGenerator,
    FakeMicrophone,
    FakeRecognizer,
    FakeSpeaker,
    LevelDetector,
    silence,
    speech,
)


class Collector:
    def __init__(self) -> None:
        self.ticks: list[Tick] = []

    def on_tick(self, tick: Tick) -> None:
        self.ticks.append(tick)

    def of(self, kind: type) -> list:
        return [e for tick in self.ticks for e in tick.events if isinstance(e, kind)]


class FullDisk(Collector):
    """A recorder that fails once, at its ``after``-th tick."""

    def __init__(self, after: int) -> None:
        super().__init__()
        self.after = after

    def on_tick(self, tick: Tick) -> None:
        super().on_tick(tick)
        if len(self.ticks) == self.after:
            raise SessionError("recording stopped: no space left")


def build(
    microphone: FakeMicrophone | ScriptedUser, consumers: Sequence[Consumer], **kwargs: object
) -> Conversation:
    clock = FakeClock()
    engine = TurnTakingEngine(
        FakeGenerator(clock),
        LevelDetector(),
        VirtualExecutor(clock),
        recognizer=FakeRecognizer(clock),
    )
    return Conversation(microphone, FakeSpeaker(), engine, consumers, **kwargs)


def test_every_frame_is_told_once_and_on_one_clock():
    collector = Collector()
    audio = [silence(0.5), speech(1), silence(4)]
    talk = build(FakeMicrophone(audio), [collector])
    assert talk.run() is Ending.INPUT_OVER
    assert [t.at for t in collector.ticks] == list(range(0, samples(5.5), FRAME))
    assert talk.at == samples(5.5)
    assert np.array_equal(np.concatenate([t.user for t in collector.ticks]), np.concatenate(audio))
    assert {len(t.assistant) for t in collector.ticks} == {480}


def test_events_are_told_at_the_end_of_their_frame():
    collector = Collector()
    build(FakeMicrophone([speech(1), silence(4)]), [collector]).run()
    for tick in collector.ticks:
        assert {e.at for e in tick.events} <= {tick.at + FRAME}


def test_a_failing_recorder_is_let_go_and_the_conversation_goes_on():
    collector, full = Collector(), FullDisk(after=10)
    talk = build(FakeMicrophone([speech(1), silence(4)]), [full, collector])
    assert talk.run() is Ending.INPUT_OVER
    assert talk.failures == ["recording stopped: no space left"]
    assert len(full.ticks) == 10
    assert [e.text for e in collector.of(Notice)] == ["recording stopped: no space left"]
    assert collector.of(ReplyFinished)


def test_whoever_reads_our_output_may_leave():
    class Gone(Collector):
        def on_tick(self, tick: Tick) -> None:
            raise OutputClosed("the terminal has gone")

    talk = build(FakeMicrophone([silence(1)]), [Gone()])
    assert talk.run() is Ending.OUTPUT_CLOSED
    assert talk.reason == "the terminal has gone"


@pytest.mark.parametrize("part", ["microphone", "consumer"])
def test_a_broken_pipe_elsewhere_is_no_quit(part):
    def broken(*_: object) -> None:
        raise BrokenPipeError(errno.EPIPE, "Broken pipe")

    microphone, collector = FakeMicrophone([silence(1)]), Collector()
    if part == "microphone":
        microphone.read = broken
    else:
        collector.on_tick = broken
    with pytest.raises(BrokenPipeError):
        build(microphone, [collector]).run()


def test_a_standstill_is_told_and_the_conversation_goes_on():
    now = iter([0.0] * 50 + [8.0] * 500)
    collector = Collector()
    talk = build(
        FakeMicrophone([speech(1), silence(3)]),
        [collector],
        watch=ClockWatch(steady=lambda: next(now), wall=lambda: 0.0),
    )
    assert talk.run() is Ending.INPUT_OVER
    standstill, clock = collector.of(Notice)
    assert standstill.text == "the program stood still for 8.0 s"
    assert clock.text == "the system's clock was set back by 0:00:08"
    assert len(collector.of(ReplyFinished)) == 1


def test_quit_ends_it_at_the_next_frame():
    collector = Collector()
    talk = build(FakeMicrophone([silence(1)]), [collector])
    talk.send(Quit("enough"))
    assert talk.run() is Ending.QUIT
    assert talk.reason == "enough"
    assert collector.ticks == []


def test_muted_means_silence_for_engine_and_recording():
    collector = Collector()
    talk = build(FakeMicrophone([speech(1), silence(1)]), [collector])
    talk.send(SetMuted(True))
    talk.run()
    assert not any(t.user.any() for t in collector.ticks)
    assert {t.muted for t in collector.ticks} == {True}


def test_what_is_typed_ends_push_to_talk():
    class Typist(Collector):
        def on_tick(self, tick: Tick) -> None:
            super().on_tick(tick)
            if len(self.ticks) == 20:
                talk.send(SayText("hello"))

    collector = Typist()
    talk = build(FakeMicrophone([speech(1), silence(4)]), [collector])
    talk.send(PushToTalk(True))
    talk.run()
    assert {tick.talking for tick in collector.ticks[:20]} == {True}
    assert not collector.ticks[-1].talking
    assert collector.of(ReplyFinished)


def test_echo_cancellation_gets_what_was_played_on_the_users_clock():
    class Echo:
        def __init__(self) -> None:
            self.near: list[Audio] = []
            self.far: list[Audio] = []

        def process(self, near: Audio, far: Audio) -> Audio:
            self.near.append(near)
            self.far.append(far)
            return near

    echo, collector = Echo(), Collector()
    build(FakeMicrophone([speech(1), silence(4)]), [collector], echo=echo).run()
    assert {len(far) for far in echo.far} == {FRAME}
    heard = np.concatenate([t.assistant for t in collector.ticks])
    far = np.concatenate(echo.far)
    begin_24k, begin_16k = np.flatnonzero(heard > 0.25)[0], np.flatnonzero(far > 0.25)[0]
    delay = begin_16k / 16_000 - begin_24k / 24_000
    assert 0 <= delay < 0.05  # the resampler's own delay, never a look into the future
    assert np.median(far[far > 0.25]) == pytest.approx(0.5, rel=1e-2)


def test_a_scripted_user_waits_for_answers_and_interrupts():
    lines = [
        Line(speech(1), "first"),
        Line(speech(1), "second"),
        Line(speech(1), "stop", Start(StartRule.DURING_REPLY, 0.75)),
    ]
    user = ScriptedUser(lines, paced=False)
    collector = Collector()
    talk = build(user, [user, collector], over=lambda busy: user.exhausted and not busy)
    assert talk.run() is Ending.INPUT_OVER
    assert len(user.spoken) == 3
    assert len({e.turn for e in collector.of(UserTranscript)}) == 3
    (cut,) = collector.of(Interrupted)
    assert cut.heard_samples / 24_000 == pytest.approx(0.75 + 0.3, abs=0.06)
    assert [e.reply for e in collector.of(ReplyFinished)] == [1, 3]
    assert collector.ticks[-1].events[-1].state is TurnState.LISTENING
