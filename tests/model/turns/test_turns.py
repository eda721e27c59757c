"""Turn taking, to the sample: whose turn it is, when a reply begins, and what may go wrong."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator

import numpy as np
import pytest

from audio_io.clock import FRAME, USER_RATE, samples
from audio_io.signal import Audio, Position
from model.engine import SayText
from model.events import (
    AssistantAudio,
    AssistantText,
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
    UserTranscript,
)
from model.reply import ReplyPart, UserTurn
from model.turns.answering import LONGEST_WAIT_S
from model.turns.turn_settings import TurnSettings
from tests.fakes.engine import FakeGenerator, FakeSpeaker, silence, speech
from tests.fakes.talks import INTERRUPTED, LISTENING, SPEAKING, THINKING, USER_SPEAKING, converse


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
        {"wait": 0.16, "recognize": 0.3, "think": 0.1, "speak": 0.06, "decide": 0.08, "play": 0.0},
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
    assert latency.parts["decide"] == 0


def test_a_reply_waits_for_no_frame_once_its_words_are_known():
    log, _ = converse(speech(1), silence(6), recognize_cost=0.301, think_cost=0.505)
    (latency,) = log.of(TurnLatency)
    # Asked at 0.16 s; words at 0.461, first sound at 1.016. From the next frame, 0.48: at 1.035.
    assert latency.total == pytest.approx(1.02, abs=0.001)


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
    assert log.level(1.72, 1.8) > 0.0
    assert log.level(1.94, 3.3) == 0.0
    assert {e.turn for e in log.of(UserTranscript)} == {1}
    assert len(fake.history) == 1
    assert np.count_nonzero(fake.turns[-1].audio) == 2 * USER_RATE


@pytest.mark.parametrize("begun", [0.02, 0.04])
def test_a_reply_does_not_begin_while_the_user_has_just_begun_to_speak(begun):
    log, fake = converse(speech(1), silence(0.7 - begun), speech(1), silence(6))
    assert log.states == [USER_SPEAKING, THINKING, USER_SPEAKING, THINKING, SPEAKING, LISTENING]
    assert log.level(0.0, 3.3) == 0.0
    assert len(fake.history) == 1
    assert np.count_nonzero(fake.turns[-1].audio) == 2 * USER_RATE


def test_a_reply_does_not_wait_for_long_because_of_a_click():
    log, _ = converse(speech(1), silence(0.68), speech(0.04), silence(6))
    assert log.states == [USER_SPEAKING, THINKING, SPEAKING, LISTENING]
    (latency,) = log.of(TurnLatency)
    assert latency.parts["play"] == pytest.approx(LONGEST_WAIT_S, abs=2 * FRAME / USER_RATE)


def test_a_reply_that_begins_with_the_user_stands_still_before_it_is_heard():
    log, fake = converse(speech(1), silence(0.7), speech(1), silence(6))
    controls = [(e.at, e.action) for e in log.of(PlaybackControl)]
    assert controls == [
        (samples(1.72), PlaybackAction.HOLD),
        (samples(1.78), PlaybackAction.STOP),
    ]
    assert log.level(1.76, 3.3) == 0.0
    assert [e.reason for e in log.of(Interrupted)] == ["you went on"]
    assert len(fake.history) == 1
    assert np.count_nonzero(fake.turns[-1].audio) == 2 * USER_RATE


def test_a_click_as_a_reply_begins_only_makes_it_stand_still_for_a_moment():
    log, fake = converse(speech(1), silence(0.7), speech(0.04), silence(6))
    held, resumed = log.of(PlaybackControl)
    assert (held.action, resumed.action) == (PlaybackAction.HOLD, PlaybackAction.RESUME)
    assert resumed.at - held.at <= samples(0.2)
    assert log.states == [USER_SPEAKING, THINKING, SPEAKING, LISTENING]
    assert fake.history == [("hello", "one two three four")]


def test_a_click_does_not_keep_the_reply_to_a_turn_back_that_cannot_go_on():
    typed = {2.0: SayText("hello")}
    quiet, _ = converse(silence(8), commands=typed)
    click, _ = converse(silence(2.18), speech(0.04), silence(6), commands=typed)
    assert click.of(ReplyStarted)[0].at == quiet.of(ReplyStarted)[0].at == samples(2.2)


def test_a_click_is_not_a_turn():
    log, fake = converse(silence(0.5), speech(0.1), silence(2))
    assert log.states == [USER_SPEAKING, LISTENING]
    assert len(log.of(TurnDiscarded)) == 1
    assert fake.turns == []


def test_a_turn_in_which_nothing_was_recognised_is_dropped():
    log, fake = converse(speech(1), silence(3), recognized=lambda audio: "")
    assert log.states == [USER_SPEAKING, THINKING, LISTENING]
    assert log.of(TurnDiscarded)[0].reason == "nothing recognised"
    assert fake.history == []
    assert not log.of(ReplyStarted)


def spoken(audio: Audio) -> str:
    return f"{np.count_nonzero(audio) / USER_RATE:.2f} s"


def test_partial_transcripts_grow_while_the_user_speaks():
    log, _ = converse(speech(3), silence(4), recognized=spoken, recognize_cost=0.1)
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


def test_any_error_of_a_part_ends_the_reply_not_the_conversation():
    def recognize(audio: object) -> str:
        raise ValueError("something in a library")

    log, _ = converse(speech(0.5), silence(3), speech(0.5), silence(3), recognized=recognize)
    assert [e.text for e in log.of(Notice)] == [
        "you were not understood: the recogniser failed: ValueError: something in a library"
    ] * 2
    assert log.states[-1] is LISTENING


def test_a_bug_in_a_reply_is_told_and_logged_and_the_conversation_goes_on(caplog):
    class Buggy(FakeGenerator):
        def reply(
            self, reply_id: int, turn: UserTurn, cancelled: Callable[[], bool]
        ) -> Iterator[ReplyPart]:
            yield from []
            raise ValueError("a bug")

    log, _ = converse(speech(1), silence(3), speech(1), silence(3), generator=Buggy)
    assert [e.text for e in log.of(Notice)] == ["the reply failed: ValueError: a bug"] * 2
    assert "Traceback" in caplog.text
    assert log.states[-1] is LISTENING


def test_a_reply_without_words_is_told():
    log, fake = converse(speech(1), silence(3), words=[])
    assert [e.text for e in log.of(Notice)] == ["the reply has no words to say: ''"]
    assert log.states == [USER_SPEAKING, THINKING, LISTENING]
    assert fake.history == [("hello", "")]


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
        def played(self) -> Position:
            return self.before[0]

    prompt, _ = converse(speech(1), silence(4))
    lagging, _ = converse(speech(1), silence(4), speaker=Lagging())
    late = lagging.of(TurnLatency)[0].total - prompt.of(TurnLatency)[0].total
    assert late == pytest.approx(5 * FRAME / USER_RATE)


def test_a_speaker_that_loses_sound_does_not_hold_up_the_conversation():
    class Losing(FakeSpeaker):
        @property
        def played(self) -> Position:
            real = super().played
            return Position(real.reply_id, min(real.samples, 40_000))

    log, fake = converse(speech(1), silence(7), speaker=Losing())
    assert [e.text for e in log.of(Notice)] == ["the speaker lost the end of the reply"]
    (cut,) = log.of(Interrupted)
    assert (cut.heard_samples, cut.heard) == (40_000, "one two three ")
    assert log.states[-1] is LISTENING
    assert len(fake.history) == 1
