"""Conversations of the realtime engine with a server on loopback, on the clock of the frames."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TypeVar

import numpy as np

from audio_io.clock import FRAME, samples
from model.endpoints.server_key import ServerKey
from model.engine import Frame
from model.events import AssistantAudio, Event, PlaybackAction, PlaybackControl, StateChanged
from model.realtime.address import server_address
from model.realtime.engine import RealtimeEngine
from tests.fakes.engine import FakeSpeaker, LevelDetector
from tests.model.realtime.fake_server import FakeRealtime, wait_until

E = TypeVar("E", bound=Event)


class RemoteListener:
    """Someone at a terminal: :meth:`hear` lets time pass."""

    def __init__(self, engine: RealtimeEngine, server: FakeRealtime) -> None:
        self.engine, self.server = engine, server
        self._begin()

    def _begin(self) -> None:
        self.speaker = FakeSpeaker()
        self.events: list[Event] = []
        self.heard: list[np.ndarray] = []
        self.at = 0

    def hear(self, seconds: float, *, speaking: bool = False) -> None:
        """Let ``seconds`` pass, after all that the server has said has come."""
        self.sync()
        for _ in range(round(samples(seconds) / FRAME)):
            self._step(speaking)

    def sync(self) -> None:
        """Wait until what the server has said waits to be read."""
        inbox = self.engine._link._inbox  # nothing marks its tasks as done, so it counts them all
        wait_until(lambda: inbox.unfinished_tasks >= self.server.pushed)

    def until(self, kind: type[E]) -> E:
        """Let time pass until such an event comes; return it."""
        before = len(self.of(kind))

        def came() -> bool:
            self._step(speaking=False)
            return len(self.of(kind)) > before

        wait_until(came, f"no {kind.__name__}: {self.events}")
        return self.of(kind)[-1]

    def of(self, kind: type[E]) -> list[E]:
        return [event for event in self.events if isinstance(event, kind)]

    @property
    def states(self) -> list[str]:
        return [event.state.value for event in self.of(StateChanged)]

    @property
    def controls(self) -> list[str]:
        return [event.action.value for event in self.of(PlaybackControl)]

    def _step(self, speaking: bool) -> None:
        self.heard.append(self.speaker.tick())
        sound = np.full(FRAME, 0.1 if speaking else 0.0, np.float32)
        for event in self.engine.process(Frame(self.at, sound, self.speaker.played)):
            self.events.append(event)
            match event:
                case AssistantAudio(reply=reply, samples=sound):
                    self.speaker.play(reply, sound)
                case PlaybackControl(action=PlaybackAction.DUCK):
                    self.speaker.duck()
                case PlaybackControl(action=PlaybackAction.HOLD):
                    self.speaker.hold()
                case PlaybackControl(action=PlaybackAction.RESUME):
                    self.speaker.resume()
                case PlaybackControl(action=PlaybackAction.STOP):
                    self.speaker.stop()
        self.at += FRAME


@contextmanager
def talking(server: FakeRealtime, query: str = "", **options: str) -> Iterator[RemoteListener]:
    """Connect to ``server`` and talk."""
    key = ServerKey(options.pop("key", ""))
    address = server_address(server.url + query)
    engine = RealtimeEngine(address, key, LevelDetector(), first_delay_s=0.02, **options)
    try:
        engine.warm_up(lambda stage: None)
        yield RemoteListener(engine, server)
    finally:
        engine.close()
