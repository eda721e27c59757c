"""Talk for an hour under disturbances, and measure whether anything grows.

The whole program runs: live devices on a simulated sound card, echo canceller, engine, recorder,
keyboard, and the live screen on a terminal that shows nothing. The user speaks, interrupts and
coughs; keys are pressed, and devices are lost, all at random from a seed.
"""

from __future__ import annotations

import dataclasses
import os
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from audio_io.clock import USER_RATE, samples, seconds
from audio_io.echo import EchoCanceller
from audio_io.live.line import CAPACITY_S
from audio_io.playout import LIMIT_S
from covo_cli.bench.figures import machine
from covo_cli.bench.soak.disturbances import Disturbances
from covo_cli.bench.soak.flatness import SETTLE_MINUTES, flatness, soak_goals
from covo_cli.bench.soak.gauges import Gauges, Queue
from covo_cli.bench.soak.subject import SoakSubject
from covo_cli.bench.speech import questions
from covo_cli.conversation.clock_watch import ClockWatch
from covo_cli.conversation.consumer import Consumer, Tick
from covo_cli.conversation.conversation import Conversation
from covo_cli.conversation.heap import HeapTrimmer
from covo_cli.process.native import return_free_memory
from covo_cli.process.terminal import PlainConsole
from covo_cli.screen.keys import KeyMachine
from covo_cli.screen.live import LiveScreen
from covo_cli.screen.view import ConversationInfo, ConversationView
from covo_cli.sessions.recorder import MOST_WAITING, SessionMeta, SessionRecorder
from covo_cli.simulation.sound_card import SoundCard, card_ends
from model.events import Notice, ReplyStarted


@dataclass(frozen=True, slots=True)
class SoakBench:
    """How long to talk, and how. ``paced``: in real time. ``settle``: minutes in which caches and
    heaps may fill. ``more``: consumers beside the program's own."""

    minutes: float
    paced: bool
    seed: int
    settle: float = SETTLE_MINUTES
    more: Sequence[Consumer] = ()

    @property
    def interval(self) -> int:
        """Seconds for one figure of a gauge: a minute, or less in a soak below 20 minutes."""
        return max(1, min(60, round(60 * self.minutes / 20)))


def measure_soak(
    bench: SoakBench, subject: SoakSubject, progress: Callable[[str], None] = lambda text: None
) -> dict[str, Any]:
    """Hold the conversation; return JSON-ready figures. Closes the engine. Raises: CliError."""
    began = time.monotonic()
    with ExitStack() as stack:
        engine = subject.engine
        stack.callback(engine.close)
        engine.warm_up(lambda stage: None)
        return_free_memory()
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        card = SoundCard(subject.user, paced=bench.paced)
        microphone, speaker = card_ends(card, paced=bench.paced)
        stack.callback(speaker.close)
        stack.callback(microphone.close)
        speaker.start()
        microphone.start()
        devices = microphone.status.device, speaker.status.device
        recorder = SessionRecorder(folder, SessionMeta(engine.info, *devices))
        keys = KeyMachine(subject.voices, engine.info.voice)
        nowhere = stack.enter_context(Path(os.devnull).open("w", encoding="utf-8"))
        info = ConversationInfo(engine.info.name, engine.info.voice, *devices, str(recorder.folder))
        screen = LiveScreen(ConversationView(info), lambda: keys.state, PlainConsole(file=nowhere))
        rng = np.random.default_rng([bench.seed, 2])
        disturbances = Disturbances(keys, card, (microphone, speaker), questions(), rng)
        queues = {
            "microphone_queue": Queue(lambda: microphone.waiting, CAPACITY_S),
            "speaker_queue": Queue(lambda: speaker.waiting, LIMIT_S),
            "recorder_queue": Queue(lambda: recorder.waiting, MOST_WAITING),
        }

        def tell(minutes: float) -> None:
            if minutes % 10 == 0:
                progress(f"{minutes:g} of {bench.minutes:g} minutes")

        gauges, happened = Gauges(queues, bench.interval, tell), Happenings()
        own: list[Consumer] = [subject.user, recorder, keys, screen, HeapTrimmer()]
        own += [disturbances, happened]
        talk = Conversation(
            microphone,
            speaker,
            engine,
            [*own, *bench.more, gauges],
            echo=EchoCanceller(),
            over=lambda busy: talk.at >= samples(60 * bench.minutes),
            watch=ClockWatch() if bench.paced else None,
        )
        disturbances.send = talk.send
        progress(f"talking for {bench.minutes:g} minutes")
        with screen:
            talk.run()
        wall = time.monotonic() - began
        progress("finishing the recording")
        recorder.close()
        parts = dataclasses.asdict(engine.info)
    figures = {
        "machine": machine(),
        "engine": {"name": parts["name"], **parts["parts"]},
        "pace": "real" if bench.paced else "fast",
        "minutes": round(seconds(talk.at) / 60, 2),
        "wall_minutes": round(wall / 60, 2),
        "seed": bench.seed,
        "settle_minutes": bench.settle,
        "interval_seconds": bench.interval,
        "happened": dict(happened.counts),
        "disturbances": dict(disturbances.done),
        "longest_silence_seconds": round(seconds(happened.longest(talk.at)), 1),
        "failures": [*talk.failures, *happened.errors],
        "queues": {name: queue.limit for name, queue in queues.items()},
        "flatness": flatness(gauges, bench.settle),
        "by_minute": {"minutes": gauges.minutes, **gauges.kept},
    }
    return {**figures, "goals": soak_goals(figures)}


@dataclass
class Happenings:
    """A consumer that counts events by kind and keeps the errors that the user is told."""

    counts: Counter[str] = field(default_factory=Counter)
    errors: list[str] = field(default_factory=list)
    _last: int = 0
    _longest: int = 0

    def on_tick(self, tick: Tick) -> None:
        """Count the events of one frame."""
        for event in tick.events:
            self.counts[type(event).__name__] += 1
            match event:
                case ReplyStarted():
                    self._longest, self._last = self.longest(tick.at), tick.at
                case Notice(level="error"):
                    self.errors.append(f"{tick.at / USER_RATE:.1f} s: {event.text}")

    def longest(self, now: int) -> int:
        """Return the longest time until ``now`` in which no reply began, in user samples."""
        return max(self._longest, now - self._last)
