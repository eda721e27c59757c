"""The recognition service: partial words, and final words that do not wait for them."""

from __future__ import annotations

import threading
import time

import numpy as np

from audio_io.clock import USER_RATE
from audio_io.signal import Audio
from model.events import UserTranscript
from model.hearing.open_turn import OpenTurn
from model.hearing.recognition import Recognition, Transcript
from model.jobs.channel import Cancelled, never
from model.jobs.thread_executor import ThreadExecutor
from model.jobs.virtual_executor import VirtualExecutor
from tests.fakes.engine import FakeClock, FakeRecognizer, speech

SECOND = USER_RATE
TURN = OpenTurn(3, 0, SECOND, [speech(1)], SECOND)


def texts(events: list) -> list[str]:
    return [event.text for event in events if isinstance(event, UserTranscript)]


def test_partial_words_come_while_the_user_speaks_and_less_often_in_a_long_turn():
    clock = FakeClock()
    recognition = Recognition(FakeRecognizer(clock, cost=0.5), VirtualExecutor(clock), SECOND)
    assert recognition.partial(0, TURN, speaking=True) == []
    recognition.partial(SECOND, TURN, speaking=True)  # asks
    assert recognition.partial(SECOND + SECOND // 4, TURN, speaking=True) == []
    (shown,) = recognition.partial(2 * SECOND, TURN, speaking=True)
    assert (shown.turn, shown.text, shown.final) == (3, "hello", False)
    # A second and a tenth of the turn later.
    recognition.partial(3 * SECOND, TURN, speaking=True)
    assert recognition.partial(4 * SECOND, TURN, speaking=True) == []
    assert texts(recognition.partial(5 * SECOND, TURN, speaking=False)) == ["hello"]
    assert recognition.partial(9 * SECOND, TURN, speaking=False) == []


def test_without_a_recogniser_nothing_is_recognised():
    recognition = Recognition(None, VirtualExecutor(FakeClock()), 0)
    recognition.load()
    assert (recognition.available, recognition.name) == (False, "")
    assert recognition.partial(SECOND, TURN, speaking=True) == []
    question = recognition.turn(0, TURN.audio(), "trouble", "error")
    assert not question.pending
    recognition.close()


def test_final_words_do_not_wait_for_partial_words_that_were_dropped():
    begun, release = threading.Event(), threading.Event()

    class Slow(FakeRecognizer):
        def transcribe(self, audio: Audio, cancelled: Cancelled = never) -> Transcript:
            if len(audio) == SECOND:
                begun.set()
                release.wait(30)
            return Transcript("final")

    executor = ThreadExecutor()
    recognition = Recognition(Slow(FakeClock()), executor, 0)
    recognition.partial(0, TURN, speaking=True)
    assert begun.wait(10)
    recognition.drop_partial()
    question = recognition.turn(0, np.zeros(10, np.float32), "trouble", "error")
    for _ in range(1000):
        if question.poll(0) or question.answer is not None:
            break
        time.sleep(0.01)
    release.set()
    assert question.answer == Transcript("final")
    executor.close()
