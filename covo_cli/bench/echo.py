"""Measure whether the assistant interrupts itself, and hears a person over its own echo.

The microphone hears the speaker through a simulated room (:mod:`audio_io.acoustics.echo_path`),
about as loud as a person. The assistant first talks alone for minutes, so every interruption is
false. Then a person speaks over it, and the barge-ins that stop it are counted.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from audio_io.acoustics.echo_path import EchoPath
from audio_io.clock import FRAME, USER_RATE, samples, seconds
from audio_io.echo import EchoCanceller
from audio_io.file_ends import FileSpeaker
from audio_io.signal import Audio
from audio_io.vad import SileroVad
from covo_cli.bench.read_aloud import ReadAloud
from covo_cli.conversation.consumer import Tick
from covo_cli.conversation.conversation import Conversation
from covo_cli.simulation.room import Room
from covo_cli.simulation.scripted_user import Line, ScriptedUser, Start, StartRule
from model.engine import EngineInfo
from model.events import Interrupted, PlaybackAction, PlaybackControl
from model.jobs.virtual_executor import VirtualExecutor
from model.lite.synthesizer import Synthesizer
from model.turns.controller import TurnTakingEngine

ECHO_GAIN_DB = -6.0
"""Makes the echo of the assistant (-20 dBFS) as loud as a person (-26 dBFS)."""

INFO = EngineInfo("read-aloud", "a text read aloud, for benchmarks", "", "cpu", {})

BARGE_IN_AFTER_S = 4.0
"""How long a reply plays before the person speaks over it."""


@dataclass
class EchoLog:
    """Count interruptions, ducks and stops. ``speaking``: frames with the assistant's sound."""

    ducks: list[int] = field(default_factory=list)
    stops: list[int] = field(default_factory=list)
    interruptions: int = 0
    speaking: int = 0

    def on_tick(self, tick: Tick) -> None:
        """Log one frame."""
        self.speaking += bool(tick.assistant.any())
        for event in tick.events:
            match event:
                case PlaybackControl(action=PlaybackAction.DUCK):
                    self.ducks.append(event.at)
                case PlaybackControl(action=PlaybackAction.STOP):
                    self.stops.append(event.at)
                case Interrupted():
                    self.interruptions += 1


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
    """Count self-interruptions and barge-ins per echo delay (s); return JSON-ready figures.

    Args:
        detector: Silero's weights.
        question, barge_in: a person as loud as the echo, float32 mono 16 kHz.
        cancel: use echo cancellation.
        reply_seconds: length of an undisturbed reply.
    """
    results = []
    for delay in delays:
        setup = _Setup(delay, detector, assistant, reply_seconds, cancel)
        progress(f"{delay * 1000:.0f} ms: the assistant talks")
        replies = math.ceil(1.1 * minutes * 60 / reply_seconds)  # a tenth for pauses
        alone, _ = setup.talk([Line(question, "question")] * replies)
        progress(f"{delay * 1000:.0f} ms: a person talks over it")
        waits = _barge_in_waits(setup, question, barge_in, barge_ins) if barge_ins else []
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


def _barge_in_waits(setup: _Setup, question: Audio, barge_in: Audio, times: int) -> list[float]:
    """Return how long each successful barge-in took to stop the assistant, in seconds."""
    during_reply = Start(StartRule.DURING_REPLY, BARGE_IN_AFTER_S)
    lines = [Line(question, "question"), *[Line(barge_in, "barge-in", during_reply)] * times]
    log, spoken = setup.talk(lines)
    waits = []
    for start, end in spoken[1:]:
        stop = next((at for at in log.stops if start < at <= end + USER_RATE), None)
        if stop is not None:
            waits.append(seconds(stop - start))
    return waits


@dataclass(frozen=True, slots=True)
class _Setup:
    """The setup of a conversation; see :func:`measure_echo`."""

    delay: float
    detector: Path
    assistant: Synthesizer
    reply_seconds: float
    cancel: bool

    def talk(self, lines: Sequence[Line]) -> tuple[EchoLog, list[tuple[int, int]]]:
        """Hold a conversation; return its log and when each line was spoken, in samples."""
        user = ScriptedUser(lines, paced=False)
        room = Room(user, EchoPath(self.delay, rt60=0.3, gain_db=ECHO_GAIN_DB, seed=1))
        log = EchoLog()
        # An assistant that hears itself would answer itself forever.
        limit = samples(2 * len(lines) * (self.reply_seconds + 10))
        engine = TurnTakingEngine(
            ReadAloud(INFO, self.assistant.stream, self.reply_seconds, hears=True),
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
