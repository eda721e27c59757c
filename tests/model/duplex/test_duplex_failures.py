"""Bugs raised beside the loop: one notice, a traceback in the log, and the conversation goes on."""

from __future__ import annotations

import threading

import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="needs torch (the covo extra)")
pytest.importorskip("transformers", reason="needs transformers (the covo extra)")

from audio_io.clock import FRAME
from model.duplex.assemble import DuplexAssistant
from model.duplex.engine import DuplexEngine
from model.duplex.network.speech import ToneSpeech
from model.duplex.tones.tones import silence
from model.engine import Frame
from model.events import Notice, ReplyFinished, ReplyStarted, UserTranscript
from model.jobs.thread_executor import ThreadExecutor
from tests.fakes.engine import LevelDetector, speech
from tests.model.duplex.duplex_talks import INFO, ScriptedLoop, Talk, scripted


def notice(talk: Talk, caplog, *words: str) -> Notice:
    """The only notice, whose traceback is in the log."""
    (one,) = talk.all(Notice)
    for word in words:
        assert word in one.text
    assert any(record.exc_info for record in caplog.records)
    return one


def test_a_bug_in_the_network(assistant, caplog):
    talk = scripted(assistant, "tsaaxxxttttsaab")
    talk.say(silence(5.0))
    assert notice(talk, caplog, "RuntimeError: out of memory", "starts over").level == "error"
    assert [event.reply for event in talk.all(ReplyFinished)] == [1, 2]
    assert not talk.engine.busy


def test_a_bug_in_the_speech(assistant, caplog):
    class Mute(ToneSpeech):
        def step(self, state, codes, *, last):
            if any(codes):  # not in the warm-up
                raise ZeroDivisionError("no tone")
            return super().step(state, codes, last=last)

    loop = ScriptedLoop(assistant.loop, "tsaabttttsaab")
    talk = Talk(DuplexAssistant(loop, Mute(25.0), assistant.tokenizer))
    talk.say(silence(1.0))
    assert notice(talk, caplog, "ZeroDivisionError: no tone").level == "error"
    talk.say(silence(3.0))
    # One notice a reply, however many of its chunks fail.
    assert len(talk.all(Notice)) == len(talk.all(ReplyStarted)) == 2
    assert not talk.engine.busy


class Broken:
    """A recogniser with a bug."""

    name = "broken"

    def load(self) -> None:
        pass

    def transcribe(self, audio, cancelled=None):
        raise KeyError("language")

    def close(self) -> None:
        pass


def test_a_bug_in_the_recogniser(assistant, caplog):
    talk = scripted(assistant, "ttttttsaab", lambda clock: Broken())
    talk.say(speech(0.4))
    talk.say(silence(3.0))
    assert notice(talk, caplog, "KeyError: 'language'").level == "warning"
    assert not talk.all(UserTranscript)
    assert talk.all(ReplyFinished)


def test_the_warm_up_is_on_the_thread_of_the_steps(assistant):
    threads, stepped = [], threading.Event()

    class Loop(ScriptedLoop):
        def warm_up(self):
            threads.append(threading.current_thread())
            return super().warm_up()

        def step(self, *arguments, **options):
            threads.append(threading.current_thread())
            stepped.set()
            return super().step(*arguments, **options)

    parts = DuplexAssistant(Loop(assistant.loop, "t"), ToneSpeech(25.0), assistant.tokenizer)
    engine = DuplexEngine(lambda progress: parts, INFO, LevelDetector(), ThreadExecutor())
    engine.warm_up(lambda stage: None)
    for number, frame in enumerate(silence(0.16).reshape(-1, FRAME)):
        engine.process(Frame(number * FRAME, frame))
    assert stepped.wait(60)
    engine.close()
    assert threads[0] is threads[1]
    assert threads[0].name == "covo-duplex"


@pytest.mark.parametrize("stuck", ["network", "speech", "recogniser"])
def test_closing_does_not_wait_for_what_never_returns(assistant, stuck):
    entered, free, left = threading.Event(), threading.Event(), threading.Event()

    def hang(part: str) -> None:
        if part == stuck:
            entered.set()
            free.wait(60)
            left.set()

    class Loop(ScriptedLoop):
        def step(self, *arguments, **options):
            hang("network")
            return super().step(*arguments, **options)

    class Speech(ToneSpeech):
        def step(self, state, codes, *, last):
            if any(codes):  # not in the warm-up
                hang("speech")
            return super().step(state, codes, last=last)

    class Reader(Broken):
        def transcribe(self, audio, cancelled=None):
            hang("recogniser")
            return super().transcribe(audio)

    parts = DuplexAssistant(Loop(assistant.loop, "saaa"), Speech(25.0), assistant.tokenizer)
    engine = DuplexEngine(lambda progress: parts, INFO, LevelDetector(), ThreadExecutor(), Reader)
    engine.warm_up(lambda stage: None)
    frames = np.concatenate((speech(0.5), silence(60.0))).reshape(-1, FRAME)
    for number, frame in enumerate(frames):
        if entered.wait(0.004):  # or frames would come faster than they can be stepped
            break
        engine.process(Frame(number * FRAME, frame))
    assert entered.is_set()
    engine.close()
    assert not left.is_set()
    free.set()
