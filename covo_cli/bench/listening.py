"""Measure what it costs to listen to somebody who speaks.

That is the detector, the level gate, whose voice it is, and what judges the end of a turn. Words
are known without a recogniser and the replies are fixed, so nothing else takes time.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from audio_io.clock import ASSISTANT_RATE, FRAME, samples, seconds
from audio_io.file_ends import FileSpeaker
from covo_cli.bench.read_aloud import ReadAloud
from covo_cli.bench.speech import trimmed
from covo_cli.conversation.consumer import Tick
from covo_cli.conversation.conversation import Conversation
from covo_cli.engines.engines import turn_taking
from covo_cli.errors import CliError
from covo_cli.evaluation.running.scripted_engine import Oracle, SteadyClock, SteadyRecognizer
from covo_cli.settings.settings import Settings
from covo_cli.simulation.scripted_user import Line, ScriptedUser
from model.engine import Engine, EngineInfo
from model.events import ReplyStarted
from model.jobs.thread_executor import ThreadExecutor

SHARE_AT_MOST = 0.12
"""Goal: the share of one core."""

_REPLY_S = 0.3


class ListeningMeter:
    """A consumer that adds up this process's processor time, from the beginning of each line of
    ``user`` to the reply."""

    def __init__(self, user: ScriptedUser) -> None:
        self._user = user
        self._before = time.process_time()
        self.answered = 0
        self.length = 0
        """User samples that were counted."""
        self.cost = 0.0
        """Processor time in them, in seconds."""
        self._heard = 0  # lines that were said when the last reply began

    def on_tick(self, tick: Tick) -> None:
        """Count one frame."""
        now = time.process_time()
        if len(self._user.spoken) > self._heard:
            self.length += FRAME
            self.cost += now - self._before
        self._before = now
        if any(isinstance(event, ReplyStarted) for event in tick.events):
            self._heard = len(self._user.spoken)
            self.answered += 1


def measure_listening(engine: Engine, user: ScriptedUser) -> dict[str, float]:
    """Hold a conversation and return the cost of listening, JSON-ready.

    Raises: CliError if no line was answered.
    """
    meter = ListeningMeter(user)
    talk = Conversation(
        user,
        FileSpeaker(None),
        engine,
        [user, meter],
        over=lambda busy: user.exhausted and not busy,
    )
    user.start()
    talk.run()
    if not meter.answered:
        raise CliError("no question was answered: check the detector with `covo bench vad`")
    counted = seconds(meter.length)
    return {
        "answered": meter.answered,
        "seconds": round(counted, 1),
        "share_of_one_core": round(meter.cost / counted, 3),
    }


def listening_cost(settings: Settings, lines: Sequence[Line]) -> dict[str, float]:
    """Measure it with the models of the ``settings``, in real time.

    Run it in a process of its own: all that the process does is counted. Raises: SettingsError,
        ModelError, CliError.
    """
    # The oracle takes all of a line for speech: with silence after it, the last words come late and
    # the turn is taken for broken off, so that a long silence would be measured.
    user = ScriptedUser([replace(line, audio=trimmed(line.audio)) for line in lines], paced=True)
    oracle = Oracle([line.text for line in lines], user)
    recognizer = SteadyRecognizer(oracle, SteadyClock(), "a recogniser that never errs")
    sound = np.zeros(samples(_REPLY_S, ASSISTANT_RATE), np.float32)
    info = EngineInfo("listening", "real turn taking; the replies are silent", "", "cpu", {})
    replies = ReadAloud(info, lambda text: [sound], _REPLY_S, hears=False)
    engine = turn_taking(settings, replies, ThreadExecutor(), recognizer)
    try:
        engine.warm_up(lambda stage: None)
        return measure_listening(engine, user)
    finally:
        engine.close()
