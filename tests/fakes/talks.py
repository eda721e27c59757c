"""Conversations for the tests of turn taking: held with fakes on the virtual clock, and logged."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np

from audio_io.clock import FRAME, USER_RATE, samples
from audio_io.signal import Audio
from covo_cli.conversation.consumer import Tick
from covo_cli.conversation.conversation import Conversation, Ending
from model.engine import Command
from model.events import Event, StateChanged, TurnState
from model.hearing.identity.profile import SpeakerEmbedder
from model.jobs.virtual_executor import VirtualExecutor
from model.playback.timers import Timers
from model.turns.controller import TurnTakingEngine
from model.turns.endings.models import EndOfTurnModel, Outlook, OutlookModel
from model.turns.phrases import phrases_of
from model.turns.turn_settings import TurnSettings
from tests.fakes.engine import (
    FakeClock,
    FakeGenerator,
    FakeMicrophone,
    FakeRecognizer,
    FakeSpeaker,
    LevelDetector,
)

LISTENING, USER_SPEAKING, THINKING, SPEAKING, INTERRUPTED, MUTED = TurnState


@dataclass
class Log:
    """A consumer that keeps everything; ``commands`` are sent at their time (user samples)."""

    commands: dict[int, Command] = field(default_factory=dict)
    events: list[Event] = field(default_factory=list)
    heard: list[Audio] = field(default_factory=list)
    send: Callable[[Command], None] = lambda command: None

    def on_tick(self, tick: Tick) -> None:
        self.events.extend(tick.events)
        self.heard.append(tick.assistant)
        for at in [at for at in self.commands if at <= tick.at]:
            self.send(self.commands.pop(at))

    def close(self) -> None:
        pass

    def of(self, kind: type) -> list:
        return [event for event in self.events if isinstance(event, kind)]

    @property
    def states(self) -> list[TurnState]:
        return [event.state for event in self.of(StateChanged)]

    def level(self, start: float, end: float) -> float:
        heard = np.concatenate(self.heard)
        return float(np.abs(heard[round(start * 24_000) : round(end * 24_000)]).max(initial=0.0))


class Script:
    """Speech whose words are known: each text has a level of its own, by which it is read back.

    A text counts as heard when at least 0.2 s of it were.
    """

    def __init__(self) -> None:
        self._texts: dict[int, str] = {}

    def say(self, text: str, seconds: float, level: float = 0.1) -> Audio:
        """``text``, spoken for ``seconds``, whole frames of it, at about ``level``."""
        mark = round(level * 10_000) + len(self._texts) + 1
        self._texts[mark] = text
        return np.full(round(seconds * USER_RATE / FRAME) * FRAME, mark / 10_000, np.float32)

    def read(self, audio: Audio) -> str:
        """What is said in ``audio``."""
        marks = np.round(audio * 10_000).astype(int)
        heard = [m for m in self._texts if np.count_nonzero(marks == m) >= 0.2 * USER_RATE]
        heard.sort(key=lambda mark: int(np.argmax(marks == mark)))
        return " ".join(self._texts[mark] for mark in heard).strip()


class FakeReader:
    """An outlook model that goes by the last word: after one that opens a phrase, words break off
    unless there is a mark."""

    name = "a fake reader"
    languages = frozenset({"en"})

    def __init__(self, clock: FakeClock, cost: float = 0.0) -> None:
        self.clock, self.cost = clock, cost
        self.read: list[tuple[str, str]] = []
        self.ahead: list[str] = []

    def load(self) -> None:
        pass

    def read_ahead(self, words: str, before: str) -> None:
        self.ahead.append(words)

    def outlook(self, words: str, before: str) -> Outlook:
        self.read.append((words, before))
        self.clock.pass_time(self.cost)
        last = phrases_of("en").last_phrase(words)
        if words.endswith((".", "?", "!")) or not (last.open or last.filler):
            return Outlook(ends=-0.1, pauses=-6.0, goes_on=-4.0, closes=-0.1)
        return Outlook(ends=-9.0, pauses=-6.0, goes_on=-0.5, closes=-3.0)

    def close(self) -> None:
        pass


def converse(
    *audio: Audio,
    commands: dict[float, Command] | None = None,
    settings: TurnSettings | None = None,
    script: Script | None = None,
    recognized: Callable[[Audio], str] | None = None,
    recognize_cost: float = 0.3,
    language: str = "en",
    expected: str = "",
    without_recognizer: bool = False,
    end_of_turn: Callable[[FakeClock], EndOfTurnModel] = lambda clock: None,
    reader: Callable[[FakeClock], OutlookModel] = FakeReader,
    speaker_embedder: SpeakerEmbedder | None = None,
    speaker: FakeSpeaker | None = None,
    generator: type[FakeGenerator] = FakeGenerator,
    timers: Timers | None = None,
    **made: object,
) -> tuple[Log, FakeGenerator]:
    """Run a conversation over ``audio``; ``commands`` by seconds. With a ``script``, words are
    judged. ``language``: what the recogniser hears; ``expected``: what was set."""
    clock = FakeClock()
    recognized = recognized or (script.read if script is not None else lambda audio: "hello")
    ears = FakeRecognizer(clock, recognized, recognize_cost, language)
    fake = generator(clock, **made)
    engine = TurnTakingEngine(
        fake,
        LevelDetector(),
        VirtualExecutor(clock),
        settings,
        None if without_recognizer else ears,
        phrases_of("en") if script is not None else None,
        end_of_turn(clock),
        expected,
        speaker_embedder,
        reader(clock),
        timers,
    )
    log = Log({samples(at): command for at, command in (commands or {}).items()})
    talk = Conversation(FakeMicrophone(audio), speaker or FakeSpeaker(), engine, [log])
    log.send = talk.send
    assert talk.run() is Ending.INPUT_OVER
    engine.close()
    assert fake.closed
    assert ears.closed or without_recognizer
    return log, fake
