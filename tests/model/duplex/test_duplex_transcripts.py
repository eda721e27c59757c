"""What the user says to the full-duplex engine, written down beside it."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from itertools import chain, count, repeat

import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="needs torch (the covo extra)")
pytest.importorskip("transformers", reason="needs transformers (the covo extra)")

from audio_io.clock import FRAME, samples
from covo_cli.screen.view import ConversationInfo, ConversationView
from covo_cli.sessions.transcript import Who, transcript
from model.duplex.engine import DuplexEngine
from model.duplex.tones.tones import hum, phrase, silence
from model.engine import Frame
from model.errors import RecognizerError, WeightsError
from model.events import (
    Event,
    Interrupted,
    Notice,
    ReplyFinished,
    ReplyStarted,
    TurnDiscarded,
    TurnLatency,
    UserTranscript,
)
from model.hearing.recognition import Transcript
from model.jobs.thread_executor import ThreadExecutor
from tests.fakes.engine import FakeClock, LevelDetector, speech
from tests.model.duplex.duplex_talks import INFO, LOW, Talk, scripted


class Reader:
    """Understands ``text`` ("{n}": how often it was asked); takes ``cost`` seconds each time."""

    def __init__(self, text: str = "words {n}", cost: float = 0.0, error: str = "") -> None:
        self.text, self.cost, self.error = text, cost, error
        self.heard: list[np.ndarray] = []
        self.clock = FakeClock()
        self.closed = False

    def __call__(self, clock: FakeClock) -> Reader:
        self.clock = clock
        return self

    name = "a reader"

    def load(self) -> None:
        pass

    def transcribe(self, audio, cancelled=None) -> Transcript:
        self.heard.append(audio)
        self.clock.pass_time(self.cost)
        if self.error:
            raise RecognizerError(self.error)
        return Transcript(self.text.format(n=len(self.heard)))

    def close(self) -> None:
        self.closed = True


def missing(clock: FakeClock) -> Reader:
    raise WeightsError("whisper-base is missing; get it with `covo models pull lite`")


def final(talk: Talk) -> list[UserTranscript]:
    return [event for event in talk.all(UserTranscript) if event.final]


def test_a_turn_is_written_down_while_it_is_said(assistant):
    reader = Reader()
    talk = Talk(assistant, recognizer=reader)
    end = talk.ask()
    talk.say(silence(4.0))
    partial, *rest = talk.all(UserTranscript)
    assert not partial.final
    assert partial.at < end
    (last,) = final(talk)
    assert rest == [last]
    assert last.turn == partial.turn == 1
    assert last.start == pytest.approx(samples(0.5), abs=2 * FRAME)
    assert last.end == pytest.approx(end, abs=2 * FRAME)
    assert len(reader.heard[-1]) >= last.end - last.start
    # The reply and its latency belong to it.
    assert [event.turn for event in (*talk.all(ReplyStarted), *talk.all(TurnLatency))] == [1, 1]
    assert not talk.engine.busy
    talk.engine.close()
    assert reader.closed


def test_nothing_waits_for_it(assistant):
    """A recogniser that takes ten seconds: every other event is at its time, to the sample."""
    talks = [Talk(assistant, recognizer=reader) for reader in (None, Reader(cost=10.0))]
    for talk in talks:
        talk.ask()
        talk.say(silence(5.0))
    others = [
        [repr(event) for event in talk.events if not isinstance(event, UserTranscript)]
        for talk in talks
    ]
    assert others[0] == others[1]
    assert not talks[0].engine.busy
    assert talks[1].engine.busy  # a file is not over before its words are known
    talks[1].say(silence(8.0))
    assert len(final(talks[1])) == 1
    assert not talks[1].engine.busy


def test_threads_go_on_while_it_reads(assistant):
    """In real time: chunks are stepped although the recogniser never comes back."""
    gate = threading.Event()

    class Stuck(Reader):
        def transcribe(self, audio, cancelled=None) -> Transcript:
            gate.wait(30)
            return Transcript("at last")

    engine = DuplexEngine(
        lambda progress: assistant, INFO, LevelDetector(), ThreadExecutor(), Stuck
    )
    engine.warm_up(lambda stage: None)
    said = np.concatenate((speech(0.5), silence(1.5)))
    frames = chain(said.reshape(-1, FRAME), repeat(np.zeros(FRAME, np.float32)))
    events: list[Event] = []
    clock = count(0, FRAME)

    def until(done: Callable[[], bool]) -> None:
        while not done():
            events.extend(engine.process(Frame(next(clock), next(frames))))
            time.sleep(0.004)  # or frames would come faster than they can be stepped

    until(lambda: engine.pace.steps >= 12)
    assert not [event for event in events if isinstance(event, UserTranscript)]
    assert engine.busy
    gate.set()
    until(lambda: any(isinstance(event, UserTranscript) for event in events))
    assert events[-1].text == "at last"
    engine.close()


def test_a_pause_is_no_end_and_a_silence_is(assistant):
    reader = Reader()
    talk = scripted(assistant, "", reader)
    for pause in (0.5, 0.8, 1.0):
        talk.say(speech(0.4))
        talk.say(silence(pause))
    assert [event.turn for event in final(talk)] == [1, 2]
    assert [event.end - event.start for event in final(talk)] == [samples(1.3), samples(0.4)]


def test_a_noise_is_not_read(assistant):
    reader = Reader()
    talk = scripted(assistant, "tttttttttttts", reader)
    for length in (0.1, 0.04):
        talk.say(speech(length))
        talk.say(silence(1.0))
    assert not reader.heard
    assert [event.turn for event in talk.all(ReplyStarted)] == [0]
    assert not talk.all(TurnLatency)  # nothing was said that it could be an answer to


def test_a_second_reply_to_the_same_words_has_no_latency(assistant):
    talk = scripted(assistant, "ttttsaabsaab", Reader())
    talk.say(speech(0.5))
    talk.say(silence(3.0))
    assert [event.turn for event in talk.all(ReplyStarted)] == [1, 1]
    assert [event.reply for event in talk.all(TurnLatency)] == [1]


def test_somebody_who_never_stops_is_written_down_in_parts(assistant):
    talk = scripted(assistant, "", Reader())
    talk.say(speech(130.0))
    talk.say(silence(1.0))
    assert [event.turn for event in final(talk)] == [1, 2]
    assert final(talk)[0].end == samples(120.0)


def test_what_is_said_over_a_reply_is_told_behind_it(assistant):
    talk = Talk(assistant, recognizer=Reader())
    talk.ask()
    talk.say(silence(0.9))
    talk.say(hum(LOW, np.random.default_rng(1)))
    talk.say(silence(4.0))
    told = [event for event in talk.events if isinstance(event, UserTranscript | ReplyFinished)]
    assert [getattr(event, "turn", "reply") for event in told if getattr(event, "final", 1)] == [
        *(1, "reply", 2)
    ]


def test_the_screen_and_the_record_take_it_as_it_is(assistant):
    """A question, a hum over the answer, an interruption and its answer."""
    talk = Talk(assistant, recognizer=Reader())
    view = ConversationView(ConversationInfo("covo-fd", "tones", "", ""))
    talk.consumer = view.on_tick
    random = np.random.default_rng(1)
    talk.ask()
    talk.say(silence(0.9))
    talk.say(hum(LOW, random))
    talk.say(silence(0.8))
    talk.say(phrase(LOW, random, 8, final=True))
    talk.say(silence(5.0))
    assert talk.all(Interrupted)
    order = [Who.USER, Who.ASSISTANT, Who.USER, Who.USER, Who.ASSISTANT]
    assert [entry.who for entry in view.now.entries] == order
    assert all(entry.final for entry in view.now.entries[:2])
    assert view.now.entries[1].cut_off == "you spoke over it"
    assert view.now.entries[-1].text.split()[:2] == ["low", "one"]
    recorded = [said for said in transcript(talk.events) if said.who is Who.USER]
    assert [said.text for said in recorded] == [event.text for event in final(talk)]
    assert len(recorded) == 3


def test_without_its_weights_there_is_one_notice(assistant):
    talk = Talk(assistant, recognizer=missing)
    talk.ask()
    talk.say(silence(4.0))
    (notice,) = talk.all(Notice)
    assert notice.level == "warning"
    assert notice.text.startswith("no transcript of what you say: whisper-base is missing")
    assert not talk.all(UserTranscript)
    assert talk.all(ReplyFinished)


def test_a_recogniser_that_fails_is_told_of(assistant):
    talk = scripted(assistant, "", Reader(error="out of memory"))
    talk.say(speech(0.4))
    talk.say(silence(1.0))
    assert [event.text for event in talk.all(Notice)] == [
        "your words could not be recognised: out of memory"
    ]
    assert not talk.engine.busy or talk.at < samples(2.5)


def test_partial_words_are_taken_back_where_the_turn_cannot_be_recognised(assistant):
    class Tiring(Reader):
        def transcribe(self, audio, cancelled=None) -> Transcript:
            if len(audio) > samples(1.6):
                raise RecognizerError("out of memory")
            return Transcript("hm")

    talk = scripted(assistant, "", Tiring())
    talk.say(speech(1.2))
    talk.say(silence(1.0))
    assert [(event.text, event.final) for event in talk.all(UserTranscript)] == [("hm", False)]
    assert [event.turn for event in talk.all(TurnDiscarded)] == [1]
    assert len(talk.all(Notice)) == 1


def test_words_that_were_none_are_taken_back(assistant):
    class Doubtful(Reader):
        def transcribe(self, audio, cancelled=None) -> Transcript:
            return Transcript("" if len(audio) > samples(1.6) else "hm")

    talk = scripted(assistant, "", Doubtful())
    talk.say(speech(1.2))
    talk.say(silence(1.0))
    assert [(event.text, event.final) for event in talk.all(UserTranscript)] == [("hm", False)]
    assert [(event.turn, event.reason) for event in talk.all(TurnDiscarded)] == [
        (1, "nothing recognised")
    ]
    # What was never shown needs no taking back.
    talk = scripted(assistant, "", Reader(text=""))
    talk.say(speech(0.4))
    talk.say(silence(1.0))
    assert not talk.all(UserTranscript) + talk.all(TurnDiscarded)
