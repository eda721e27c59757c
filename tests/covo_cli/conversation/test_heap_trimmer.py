"""Free memory is given back once a minute, and never while the assistant speaks; once a minute
also where several conversations share it."""

from __future__ import annotations

import numpy as np

from audio_io.clock import FRAME, USER_RATE
from covo_cli.conversation.consumer import Tick
from covo_cli.conversation.heap import EVERY_S, HeapTrimmer, SharedHeap
from tests.fakes.engine import FakeClock


def test_it_trims_once_a_minute_in_a_silence() -> None:
    trimmed: list[int] = []
    at = 0
    trimmer = HeapTrimmer(lambda: trimmed.append(at))
    silence, sound = np.zeros(480, np.float32), np.full(480, 0.1, np.float32)
    spoken = range(int(EVERY_S) - 1, int(EVERY_S) + 3)  # over the end of the first minute
    for at in range(0, 200 * USER_RATE, FRAME):
        assistant = sound if at // USER_RATE in spoken else silence
        trimmer.on_tick(Tick(at, np.zeros(FRAME, np.float32), assistant, ()))
    assert [round(at / USER_RATE) for at in trimmed] == [63, 123, 183]


def test_conversations_of_one_process_trim_once_a_minute_together() -> None:
    clock = FakeClock()
    trimmed: list[float] = []
    heap = SharedHeap(lambda: trimmed.append(clock.now), clock)
    for _ in range(720):
        heap.trim()
        clock.pass_time(0.25)
    assert trimmed == [0.0, EVERY_S, 2 * EVERY_S]
