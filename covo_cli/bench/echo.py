"""Does the assistant interrupt itself, and does it still hear a person over its own echo?

A microphone in a simulated room hears the speaker through a path with a delay and a reverberating
response (:mod:`audio_io.acoustics.echo_path`), about as loud as the person speaking. The assistant
talks for minutes; every interruption that nobody made counts. Then a person speaks over it; every
one that is not noticed counts."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from audio_io.acoustics.echo_path import EchoPath
from audio_io.clock import FRAME, USER_RATE, samples, seconds
from audio_io.echo import EchoCanceller
from audio_io.file_endpoints import FileSpeaker
from audio_io.signal import Audio
from audio_io.vad import SileroVad
from covo_cli.bench.read_aloud import ReadAloud
from covo_cli.conversation.consumer import Tick
from covo_cli.conversation.conversation import Conversation
from covo_cli.simulation.room import Room
from covo_cli.simulation.scripted_user import Line, ScriptedUser, Start, StartRule
from model.events import Interrupted, PlaybackAction, PlaybackControl
from model.jobs.executor import VirtualExecutor
from model.lite.synthesizer import Synthesizer
from model.turns.controller import TurnTakingEngine

ECHO_GAIN_DB = -6.0
"""The assistant speaks at -20 dBFS: its echo is as loud as a person at -26 dBFS."""

BARGE_IN_AFTER = 4.0
"""Seconds of a reply after which the person speaks over it."""


class EchoLog:
    """A consumer that counts interruptions, and when the speaker was asked to stop."""

    def __init__(self) -> None:
        self.ducks: list[int] = []
        self.stops: list[int] = []
        self.interruptions = 0
        self.speaking = 0

    def on_tick(self, tick: Tick) -> None:
        """Take note of one frame."""
        self.speaking += bool(tick.assistant.any())
        for event in tick.events:
            match event:
                case PlaybackControl(action=PlaybackAction.DUCK):
                    self.ducks.append(event.at)
                case PlaybackControl(action=PlaybackAction.STOP):
                    self.stops.append(event.at)
                case Interrupted():
                    self.interruptions += 1

    def close(self) -> None:
        """Nothing to give back."""


def measure_echo(
    detector: Path,
    assistant: Synthesizer,
    question: Audio,
    barge_in: Audio,
    *,
    delays: Sequence[float] = (0.02, 0.08, 0.15),
    minutes: float = 10.0,
    barge_ins: int = 10,
    cancel: bool = True,
    reply_seconds: float = 100.0,
    progress: Callable[[str], None] = lambda text: None,
) -> dict[str, Any]:
    """Self-interruptions and barge-ins for each delay (seconds) of the loudspeaker path.

    ``question`` and ``barge_in``: float32 mono 16 kHz, a person at the level of the echo.
    ``detector``: Silero's weights. ``cancel``: with echo cancellation. ``reply_seconds``: how long
    the assistant talks in one go, undisturbed. Returns JSON-ready figures.
    """
    results = []
    for delay in delays:
        progress(f"{delay * 1000:.0f} ms: the assistant talks")
        replies = math.ceil(1.1 * minutes * 60 / reply_seconds)  # a tenth of it is pauses
        lines = [Line(question, "question")] * replies
        setup = _Setup(delay, detector, assistant, reply_seconds, cancel)
        alone, _ = setup.talk(lines)
        progress(f"{delay * 1000:.0f} ms: a person talks over it")
        lines = [Line(question, "question")]
        over_it = Start(StartRule.DURING_REPLY, BARGE_IN_AFTER)
        lines += [Line(barge_in, "barge-in", over_it)] * barge_ins
        over, spoken = setup.talk(lines)
        waits = []
        for start, end in spoken[1:]:
            first = next((at for at in over.stops if start < at <= end + USER_RATE), None)
            if first is not None:
                waits.append(seconds(first - start))
        results.append(
            {
                "delay_ms": round(delay * 1000),
                "minutes_of_assistant_speech": round(seconds(alone.speaking * FRAME) / 60, 2),
                "self_interruptions": alone.interruptions,
                "false_ducks": len(alone.ducks),
                "barge_ins": barge_ins,
                "barge_ins_caught": len(waits),
                "median_s_from_first_word_to_stop": round(float(np.median(waits)), 3)
                if waits
                else None,
            }
        )
    return {"echo_cancellation": cancel, "echo_gain_db": ECHO_GAIN_DB, "paths": results}


@dataclass(frozen=True, slots=True)
class _Setup:
    """Where a conversation is held: see :func:`measure_echo`."""

    delay: float
    detector: Path
    assistant: Synthesizer
    reply_seconds: float
    cancel: bool

    def talk(self, lines: Sequence[Line]) -> tuple[EchoLog, list[tuple[int, int]]]:
        """Hold one; returns what happened, and when each line was spoken."""
        user = ScriptedUser(lines, paced=False)
        room = Room(user, EchoPath(self.delay, rt60=0.3, gain_db=ECHO_GAIN_DB, seed=1))
        log = EchoLog()
        # An assistant that hears itself would answer itself for ever.
        limit = samples(2 * len(lines) * (self.reply_seconds + 10))
        engine = TurnTakingEngine(
            ReadAloud(self.assistant, self.reply_seconds),
            SileroVad(self.detector),
            VirtualExecutor(),
        )
        talk = Conversation(
            room,
            FileSpeaker(None),
            engine,
            [user, room, log],
            echo=EchoCanceller() if self.cancel else None,
            over=lambda busy: (user.exhausted and not busy) or talk.at > limit,
        )
        try:
            talk.run()
        finally:
            engine.close()
        return log, user.spoken
