"""Bugs raised beside the loop: one notice, a traceback in the log, and the conversation goes on."""

from __future__ import annotations

import threading
import time

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
from model.jobs.executor import ThreadExecutor
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


def test_a_bug_in_the_recogniser(assistant, caplog):
    class Broken:
        name = "broken"

        def load(self) -> None:
            pass

        def transcribe(self, audio):
            raise KeyError("language")

        def close(self) -> None:
            pass

    talk = scripted(assistant, "ttttttsaab", lambda clock: Broken())
    talk.say(speech(0.4))
    talk.say(silence(3.0))
    assert notice(talk, caplog, "KeyError: 'language'").level == "warning"
    assert not talk.all(UserTranscript)
    assert talk.all(ReplyFinished)


def test_closing_does_not_wait_for_a_network_that_never_returns(assistant):
    entered, never = threading.Event(), threading.Event()

    class Stuck(ScriptedLoop):
        def step(self, state, audio, effort=0, *, stop=False):
            entered.set()
            never.wait(60)
            return super().step(state, audio, effort, stop=stop)

    stuck = DuplexAssistant(Stuck(assistant.loop, "t"), assistant.speech, assistant.tokenizer)
    engine = DuplexEngine(lambda progress: stuck, INFO, LevelDetector(), ThreadExecutor())
    engine.warm_up(lambda stage: None)
    for at in range(0, 2560, FRAME):
        engine.process(Frame(at, np.zeros(FRAME, np.float32)))
    assert entered.wait(30)
    begin = time.monotonic()
    engine.close()
    assert time.monotonic() - begin < 30  # a busy machine's 3 s
    assert not never.is_set()
    never.set()
