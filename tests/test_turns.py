"""Turn taking, to the sample: fakes for every component, and a clock that only moves when told."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from audio_io.endpoints import Audio, Played
from covo_cli.consumer import Tick
from covo_cli.conversation import Conversation, Ending
from model.clock import FRAME, USER_RATE, samples
from model.engine import Command, EngineInfo, Interrupt, PushToTalk, SayText, SetMuted, SetVoice
from model.events import (
    AssistantAudio,
    AssistantText,
    Event,
    Interrupted,
    Notice,
    PlaybackAction,
    PlaybackControl,
    ReplyAudioEnded,
    ReplyFinished,
    ReplyStarted,
    SpeculationDiscarded,
    StateChanged,
    TurnDiscarded,
    TurnLatency,
    TurnState,
    UserTranscript,
    VoiceChanged,
)
from model.reply import Heard, ReplyAudio, ReplyNotice, ReplyPart, UserTurn
from model.turn_settings import TurnSettings
from model.turns import TurnTakingEngine
from model.work import VirtualExecutor
from tests.fakes import (
    FakeClock,
    FakeGenerator,
    FakeMicrophone,
    FakeSpeaker,
    LevelDetector,
    silence,
    speech,
)

LISTENING, USER_SPEAKING, THINKING, SPEAKING, INTERRUPTED, MUTED = TurnState


@dataclass
class Log:
    """A consumer that keeps everything; ``commands`` are sent at their time (user samples)."""

    commands: dict[int, Command] = field(default_factory=dict)
    events: list[Event] = field(default_factory=list)
    heard: list[Audio] = field(default_factory=list)
    send: Callable[[Command], None] = lambda command: None

    def on_tick(self, tick: Tick) -> None:
        self.events.extend(tick.events)
        self.heard.append(tick.assistant)
        for at in [at for at in self.commands if at <= tick.at]:
            self.send(self.commands.pop(at))

    def close(self) -> None:
        pass

    def of(self, kind: type) -> list:
        return [event for event in self.events if isinstance(event, kind)]

    @property
    def states(self) -> list[TurnState]:
        return [event.state for event in self.of(StateChanged)]

    def level(self, start: float, end: float) -> float:
        heard = np.concatenate(self.heard)
        return float(np.abs(heard[round(start * 24_000) : round(end * 24_000)]).max(initial=0.0))


class Recognizer:
    """Counts what it hears, and says how long that was."""

    def __init__(self, clock: FakeClock, cost: float = 0.1) -> None:
        self.clock, self.cost = clock, cost

    def transcribe(self, audio: Audio) -> str:
        self.clock.pass_time(self.cost)
        return f"{np.count_nonzero(audio) / USER_RATE:.2f} s"


def converse(
    *audio: Audio,
    commands: dict[float, Command] | None = None,
    settings: TurnSettings | None = None,
    recognizer: bool = False,
    speaker: FakeSpeaker | None = None,
    generator: type[FakeGenerator] = FakeGenerator,
    **made: object,
) -> tuple[Log, FakeGenerator]:
    """Run a conversation over ``audio``; ``commands`` by seconds."""
    clock = FakeClock()
    fake = generator(clock, **made)
    engine = TurnTakingEngine(
        fake,
        LevelDetector(),
        VirtualExecutor(clock),
        settings,
        Recognizer(clock) if recognizer else None,
    )
    log = Log({samples(at): command for at, command in (commands or {}).items()})
    talk = Conversation(FakeMicrophone(audio), speaker or FakeSpeaker(), engine, [log])
    log.send = talk.send
    assert talk.run() is Ending.INPUT_OVER
    engine.close()
    assert fake.closed
    return log, fake


def test_one_turn_is_answered_with_its_times_known_to_the_frame():
    log, fake = converse(silence(1), speech(1), silence(4))

    assert log.states == [USER_SPEAKING, THINKING, SPEAKING, LISTENING]
    end_of_speech = samples(2.0)
    transcripts = log.of(UserTranscript)
    assert transcripts[-1].final
    assert (transcripts[-1].start, transcripts[-1].end) == (samples(1.0), end_of_speech)
    committed = next(e for e in log.of(StateChanged) if e.state is THINKING)
    assert committed.at == end_of_speech + samples(0.7)
    (latency,) = log.of(TurnLatency)
    # 0.15 s of silence, 0.3 + 0.1 + 0.05 s of work: ready at 0.61 s, held until 0.7 s.
    assert latency.parts == pytest.approx(
        {"wait": 0.16, "recognize": 0.3, "think": 0.1, "speak": 0.06, "hold": 0.08, "play": 0.0},
        abs=0.021,
    )
    assert latency.total == pytest.approx(sum(latency.parts.values()))
    assert latency.total == pytest.approx(0.7, abs=FRAME / USER_RATE)
    assert "".join(e.delta for e in log.of(AssistantText)) == "one two three four "
    assert log.of(ReplyAudioEnded)[0].samples == 4 * 12_000
    assert log.of(ReplyFinished)[0].text == "one two three four "
    assert fake.history == [("hello", "one two three four")]


def test_what_is_heard_is_the_reply_whole_and_in_its_place():
    log, _ = converse(silence(1), speech(1), silence(4))
    heard = np.concatenate(log.heard)
    assert np.count_nonzero(heard) == 4 * 12_000
    first = int(np.flatnonzero(heard)[0])
    assert first / 24_000 == pytest.approx(2.0 + log.of(TurnLatency)[0].total, abs=0.001)


def test_a_slow_reply_is_heard_when_it_is_ready():
    log, _ = converse(speech(1), silence(6), think_cost=1.5)
    (latency,) = log.of(TurnLatency)
    assert latency.total == pytest.approx(0.15 + 0.3 + 1.5 + 0.05, abs=0.04)
    assert latency.parts["hold"] == 0


def test_a_pause_shorter_than_the_endpoint_does_not_cut_the_turn():
    log, fake = converse(speech(1), silence(0.5), speech(1), silence(4))
    assert log.states == [USER_SPEAKING, THINKING, SPEAKING, LISTENING]
    assert [e.reason for e in log.of(SpeculationDiscarded)] == ["you went on"]
    assert len(fake.history) == 1
    assert np.count_nonzero(fake.turns[-1].audio) == 2 * USER_RATE


def test_going_on_while_the_assistant_thinks_takes_the_turn_back():
    log, fake = converse(speech(1), silence(0.9), speech(1), silence(6), think_cost=1.0)
    assert log.states == [USER_SPEAKING, THINKING, USER_SPEAKING, THINKING, SPEAKING, LISTENING]
    assert len(fake.history) == 1
    assert np.count_nonzero(fake.turns[-1].audio) == 2 * USER_RATE


def test_going_on_just_as_the_reply_begins_takes_it_back():
    log, fake = converse(speech(1), silence(0.8), speech(1), silence(6))
    assert log.states == [
        *(USER_SPEAKING, THINKING, SPEAKING, INTERRUPTED),
        *(USER_SPEAKING, THINKING, SPEAKING, LISTENING),
    ]
    assert {e.turn for e in log.of(UserTranscript)} == {1}
    assert len(fake.history) == 1
    assert np.count_nonzero(fake.turns[-1].audio) == 2 * USER_RATE


def test_a_click_is_not_a_turn():
    log, fake = converse(silence(0.5), speech(0.1), silence(2))
    assert log.states == [USER_SPEAKING, LISTENING]
    assert len(log.of(TurnDiscarded)) == 1
    assert fake.turns == []


def test_a_turn_in_which_nothing_was_recognised_is_dropped():
    log, fake = converse(speech(1), silence(3), recognized=lambda turn: "")
    assert log.states == [USER_SPEAKING, THINKING, LISTENING]
    assert log.of(TurnDiscarded)[0].reason == "nothing recognised"
    assert fake.history == []
    assert not log.of(ReplyStarted)


def test_speech_over_a_reply_ducks_then_stops_it_within_200_ms_of_being_confirmed():
    # The reply lasts from 1.7 s to 6.7 s; the user talks over it from 4.0 s on.
    log, fake = converse(
        *(speech(1), silence(3), speech(1.5), silence(10)), words=[f"w{n}" for n in range(10)]
    )
    duck, stop = log.of(PlaybackControl)
    assert (duck.action, stop.action) == (PlaybackAction.DUCK, PlaybackAction.STOP)
    assert duck.at == samples(4.0 + 0.08)
    assert stop.at == samples(4.0 + 0.30)
    assert log.level(3.5, 4.0) == pytest.approx(0.5)
    assert log.level(4.1, 4.3) == pytest.approx(0.5 * 10 ** (-12 / 20), rel=1e-3)
    assert log.level(4.3 + 0.2, 6.0) == 0
    (cut,) = log.of(Interrupted)
    assert cut.at <= stop.at + samples(0.2)
    # 1.7 s to 4.3 s: five words of half a second were heard, and part of the sixth.
    assert cut.heard_samples == pytest.approx((4.3 - 1.7) * 24_000, abs=0.03 * 24_000)
    assert (cut.heard, cut.unheard) == ("w0 w1 w2 w3 w4", "w5 w6 w7 w8 w9")
    assert fake.history[0] == ("hello", "w0 w1 w2 w3 w4")
    # The barge-in is a turn of its own, whole from its first sample.
    assert log.of(UserTranscript)[-1].turn == 2
    assert np.count_nonzero(fake.turns[-1].audio) == 1.5 * USER_RATE


def test_a_short_noise_over_a_reply_only_ducks_it():
    log, fake = converse(
        *(speech(1), silence(3), speech(0.2), silence(6)), words=[f"w{n}" for n in range(8)]
    )
    assert [e.action for e in log.of(PlaybackControl)] == [
        PlaybackAction.DUCK,
        PlaybackAction.RESUME,
    ]
    assert not log.of(Interrupted)
    assert len(fake.history[0][1].split()) == 8
    assert np.count_nonzero(np.concatenate(log.heard)) == 8 * 12_000  # nothing lost or repeated
    assert log.level(4.8, 5.5) == pytest.approx(0.5)


def test_barge_in_can_be_switched_off():
    log, _ = converse(
        *(speech(1), silence(1.5), speech(1), silence(6)), settings=TurnSettings(barge_in=False)
    )
    assert not log.of(PlaybackControl)
    assert len(log.of(ReplyFinished)) == 1


def test_speech_that_begins_over_the_end_of_a_reply_is_the_next_turn():
    # The reply ends at 3.7 s; the user begins at 3.6 s.
    log, fake = converse(speech(1), silence(2.6), speech(1), silence(6))
    assert not log.of(Interrupted)
    assert len(log.of(ReplyFinished)) == 2
    assert np.count_nonzero(fake.turns[-1].audio) == USER_RATE
    assert log.level(5.5, 6.5) == pytest.approx(0.5)  # no longer ducked


def test_partial_transcripts_grow_while_the_user_speaks():
    log, _ = converse(speech(3), silence(4), recognizer=True)
    partial = [e.text for e in log.of(UserTranscript) if not e.final]
    lengths = [float(text.split()[0]) for text in partial[:-1]]
    assert len(lengths) >= 3
    assert lengths == sorted(set(lengths))


def test_an_error_while_replying_is_told_and_the_conversation_goes_on():
    log, fake = converse(
        *(speech(1), silence(3), speech(1), silence(5)),
        fail_after=1,
    )
    assert [e.text for e in log.of(Notice)] == ["the chat endpoint has gone"] * 2
    assert log.states[-1] is LISTENING
    assert len(fake.history) == 2


def test_an_error_before_the_first_word_ends_the_turn():
    log, _ = converse(speech(1), silence(3), fail_after=0)
    assert log.of(Notice)
    assert log.states == [USER_SPEAKING, THINKING, LISTENING]


def test_the_interrupt_key_stops_a_reply():
    log, fake = converse(speech(1), silence(5), commands={2.5: Interrupt()})
    assert log.states == [USER_SPEAKING, THINKING, SPEAKING, INTERRUPTED, LISTENING]
    assert fake.history == [("hello", "one")]
    assert log.level(2.8, 5) == 0


def test_the_interrupt_key_stops_thinking():
    log, fake = converse(speech(1), silence(5), commands={2.0: Interrupt()}, think_cost=2)
    assert log.states == [USER_SPEAKING, THINKING, LISTENING]
    assert fake.history == [("hello", "")]


def test_typed_text_is_answered_aloud():
    log, fake = converse(silence(6), commands={1.0: SayText(" what is it? ")})
    assert [e.text for e in log.of(UserTranscript)] == ["what is it?"]
    assert fake.history == [("what is it?", "one two three four")]
    assert len(fake.turns[0].audio) == 0


def test_typed_text_interrupts_a_reply():
    _, fake = converse(speech(1), silence(8), commands={2.5: SayText("stop")})
    assert [question for question, _ in fake.history] == ["hello", "stop"]
    assert fake.history[0][1] == "one"


def test_push_to_talk_holds_the_turn_open_through_any_silence():
    log, fake = converse(
        *(silence(1), speech(0.5), silence(2), speech(0.5), silence(5)),
        commands={0.5: PushToTalk(True), 4.2: PushToTalk(False)},
    )
    thinking = next(e for e in log.of(StateChanged) if e.state is THINKING)
    assert thinking.at == pytest.approx(samples(4.2), abs=2 * FRAME)
    assert np.count_nonzero(fake.turns[0].audio) == USER_RATE
    assert len(fake.history) == 1


def test_push_to_talk_stops_a_reply_and_works_while_muted():
    log, fake = converse(
        *(speech(1), silence(2), speech(0.5), silence(5)),
        commands={1.5: SetMuted(True), 2.5: PushToTalk(True), 3.6: PushToTalk(False)},
    )
    assert len(log.of(Interrupted)) == 1
    assert len(fake.history) == 2
    assert log.states[-1] is MUTED


def test_a_muted_microphone_hears_nothing():
    log, fake = converse(
        *(silence(1), speech(2), silence(1)), commands={0.5: SetMuted(True), 3.5: SetMuted(False)}
    )
    assert log.states == [MUTED, LISTENING]
    assert fake.turns == []


def test_the_voice_changes_between_replies():
    log, fake = converse(silence(1), commands={0.1: SetVoice("second"), 0.3: SetVoice("broken")})
    assert [e.voice for e in log.of(VoiceChanged)] == ["second"]
    assert [e.level for e in log.of(Notice)] == ["error"]
    assert fake.voice == "second"


def test_an_endless_turn_is_answered_as_it_stands():
    log, fake = converse(speech(3.2), silence(5), settings=TurnSettings(max_turn=3.0))
    assert next(e for e in log.of(StateChanged) if e.state is THINKING).reason == "turn of 3 s"
    assert len(fake.turns) == 1
    assert len(fake.history) == 1


def test_the_same_recording_gives_the_same_turns():
    audio = (speech(1), silence(3), speech(1.5), silence(3), speech(0.1), silence(4))
    first, second = converse(*audio)[0], converse(*audio)[0]
    assert [repr(e) for e in first.events] == [repr(e) for e in second.events]


def test_audio_is_sent_with_what_it_says():
    log, _ = converse(speech(1), silence(4))
    assert [e.text for e in log.of(AssistantAudio)] == ["one", "two", "three", "four"]


@pytest.mark.parametrize("noise", [0.1, 0.16])
def test_a_noise_at_the_end_of_a_short_reply_is_not_the_old_question_again(noise):
    # The reply "yes" is heard from 1.7 s to 2.2 s.
    log, fake = converse(*(speech(1), silence(1.1), speech(noise), silence(5)), words=["yes"])
    assert fake.history == [("hello", "yes")]
    assert len(log.of(ReplyStarted)) == 1
    assert log.states[-1] is LISTENING


def test_speech_at_the_end_of_a_short_reply_is_a_turn_of_its_own():
    _, fake = converse(*(speech(1), silence(1.1), speech(1), silence(5)), words=["yes"])
    assert len(fake.history) == 2
    assert np.count_nonzero(fake.turns[-1].audio) == pytest.approx(USER_RATE, abs=FRAME)


def test_any_error_of_a_part_ends_the_reply_not_the_conversation():
    def recognize(turn: object) -> str:
        raise ValueError("something in a library")

    log, _ = converse(speech(1), silence(3), speech(1), silence(3), recognized=recognize)
    assert [e.text for e in log.of(Notice)] == [
        "the reply failed: ValueError: something in a library"
    ] * 2
    assert log.states[-1] is LISTENING


def test_a_reply_without_words_is_told():
    log, fake = converse(speech(1), silence(3), words=[])
    assert [e.text for e in log.of(Notice)] == ["nothing to say in ''"]
    assert log.states == [USER_SPEAKING, THINKING, LISTENING]
    assert fake.history == [("hello", "")]


@pytest.mark.parametrize("tail", [0.1, 0.3, 0.45])
def test_without_barge_in_the_echo_of_a_reply_is_not_a_turn(tail):
    # The reply is heard from 1.7 s to 3.7 s; its echo goes on a little longer.
    log, fake = converse(
        *(speech(1), silence(0.7), speech(2 + tail), silence(4)),
        settings=TurnSettings(barge_in=False),
    )
    assert len(fake.history) == 1
    assert log.states[-1] is LISTENING


def test_a_forgotten_push_to_talk_ends():
    log, fake = converse(
        *(speech(2), silence(6)),
        commands={0.5: PushToTalk(True)},
        settings=TurnSettings(max_turn=4.0),
    )
    assert next(e for e in log.of(StateChanged) if e.state is THINKING).at <= samples(5)
    assert len(fake.history) == 1


def test_speech_while_a_typed_question_is_thought_about_is_heard_whole():
    log, fake = converse(
        *(silence(1), speech(2), silence(6)), commands={0.5: SayText("hi")}, think_cost=1.5
    )
    assert [question for question, _ in fake.history] == ["hi", "hello"]
    assert np.count_nonzero(fake.turns[-1].audio) == 2 * USER_RATE
    assert log.of(Interrupted)[0].heard == ""


def test_typing_in_the_middle_of_speech_takes_its_place():
    log, fake = converse(*(speech(1), silence(5)), commands={0.5: SayText("hi")})
    assert log.of(TurnDiscarded)[0].reason == "you typed"
    assert fake.history[0][0] == "hi"


def test_a_speaker_that_lags_is_in_the_latency():
    class Lagging(FakeSpeaker):
        """What it says was played was heard five frames ago."""

        def __init__(self) -> None:
            super().__init__()
            self.before = deque([super().played] * 5, maxlen=5)

        def tick(self) -> Audio:
            self.before.append(super().played)
            return super().tick()

        @property
        def played(self) -> Played:
            return self.before[0]

    prompt, _ = converse(speech(1), silence(4))
    lagging, _ = converse(speech(1), silence(4), speaker=Lagging())
    late = lagging.of(TurnLatency)[0].total - prompt.of(TurnLatency)[0].total
    assert late == pytest.approx(5 * FRAME / USER_RATE)


def test_a_speaker_that_loses_sound_does_not_hold_up_the_conversation():
    class Losing(FakeSpeaker):
        @property
        def played(self) -> Played:
            real = super().played
            return Played(real.reply, min(real.samples, 40_000))

    log, fake = converse(speech(1), silence(7), speaker=Losing())
    assert [e.text for e in log.of(Notice)] == ["the speaker lost the end of the reply"]
    assert log.states[-1] is LISTENING
    assert len(fake.history) == 1


piece = st.one_of(
    st.floats(0.1, 2.5).map(speech),
    st.floats(0.1, 2.5).map(silence),
)
command = st.sampled_from(
    [
        *(Interrupt(), SayText("typed"), SetMuted(True), SetMuted(False)),
        *(PushToTalk(True), PushToTalk(False), SetVoice("second")),
    ]
)


@settings(max_examples=150, deadline=None)
@given(
    audio=st.lists(piece, min_size=1, max_size=8),
    commands=st.dictionaries(st.floats(0, 10), command, max_size=4),
    words=st.lists(st.sampled_from(["a", "b", "c"]), max_size=6),
    barge_in=st.booleans(),
    think=st.sampled_from([0.0, 0.3, 1.5]),
)
def test_whatever_happens_every_reply_is_settled_and_it_ends_listening(
    audio, commands, words, barge_in, think
):
    settled: list[int] = []

    class Counting(FakeGenerator):
        def settle(self, reply: int, heard_samples: int | None) -> Heard:
            settled.append(reply)
            return super().settle(reply, heard_samples)

    log, _ = converse(
        *audio,
        silence(25),
        commands={**commands, 21.0: PushToTalk(False)},
        settings=TurnSettings(barge_in=barge_in),
        generator=Counting,
        words=words,
        think_cost=think,
    )
    assert sorted(settled) == list(range(1, len(settled) + 1))
    assert not log.states or log.states[-1] in (LISTENING, MUTED)
    started = [(e.at, e.reply) for e in log.of(ReplyStarted)]
    over = {e.reply: e.at for e in [*log.of(ReplyFinished), *log.of(Interrupted)]}
    for (_, before), (at, _) in pairwise(started):
        assert over[before] <= at  # never two replies at once
    answered = [e.turn for e in log.of(ReplyStarted)]
    heard_out = [
        e.turn for e in log.of(ReplyStarted) if e.reply in {f.reply for f in log.of(ReplyFinished)}
    ]
    assert len(set(heard_out)) == len(heard_out) <= len(answered)  # no turn is answered twice


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
