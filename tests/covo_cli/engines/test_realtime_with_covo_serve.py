"""The realtime engine as a client of covo serve, over a socket, with a made-up engine behind it."""

from __future__ import annotations

import asyncio
import socket
import threading
import time
from collections.abc import Callable, Iterator

import pytest
import uvicorn

from covo_cli.engines.remote_engine import remote_voices
from covo_cli.serve.app import ServerApp
from covo_cli.serve.handshake import Handshake
from covo_cli.serve.places import Places
from covo_cli.serve.realtime.session_object import ServedEngine
from covo_cli.serve.run_serve import ServeOptions, server_config
from covo_cli.settings.settings import load_settings
from model.endpoints.server_key import ServerKey
from model.engine import Interrupt, SayText
from model.errors import RemoteError
from model.events import (
    EndpointJudged,
    Event,
    Interrupted,
    Notice,
    ReplyFinished,
    TurnLatency,
    UserTranscript,
)
from model.jobs.thread_executor import ThreadExecutor
from model.realtime.address import ServerKind, server_address
from model.realtime.dialling import dial
from model.realtime.engine import RealtimeEngine
from model.turns.controller import TurnTakingEngine
from model.turns.phrases import phrases_of
from model.turns.turn_settings import TurnSettings
from tests.fakes.engine import FakeClock, FakeGenerator, FakeRecognizer, LevelDetector
from tests.model.realtime.remote_talks import RemoteListener

TOKEN = "ek_" + "t" * 40
SERVED = ServedEngine("fake", "first", ("first", "second"), "a fake recogniser", TurnSettings())
WORDS = ["one", "two", "three", "four", "five", "six"] * 2
FRAME_S = 0.01
"""Frames come twice as fast as in life; the server takes four times."""
PATIENCE_S = 60.0


@pytest.fixture
def address() -> Iterator[str]:
    """A server on a thread."""
    engine = TurnTakingEngine(
        FakeGenerator(FakeClock(), WORDS),
        LevelDetector(),
        ThreadExecutor(),
        TurnSettings(),
        FakeRecognizer(FakeClock(), lambda audio: "what is the capital of France?"),
        phrases_of("en"),
    )
    engine.warm_up(lambda stage: None)
    app = ServerApp(Handshake(TOKEN, ("127.0.0.1",), ()), Places([engine]), SERVED)
    listening = socket.create_server(("127.0.0.1", 0))
    server = uvicorn.Server(server_config(app, ServeOptions()))
    server.install_signal_handlers = lambda: None  # type: ignore[attr-defined]
    thread = threading.Thread(target=lambda: asyncio.run(server.serve([listening])), daemon=True)
    thread.start()
    yield f"ws://127.0.0.1:{listening.getsockname()[1]}"
    server.should_exit = True
    thread.join(10)
    engine.close()


class ServedListener(RemoteListener):
    """Someone at a terminal whose server is a real one, with a clock of its own."""

    def __init__(self, engine: RealtimeEngine) -> None:
        self.engine = engine
        self._begin()

    def wait(self, until: Callable[[], object], *, speaking: bool = False) -> None:
        """Let time pass until it is so."""
        end = time.monotonic() + PATIENCE_S
        while not until():
            assert time.monotonic() < end, self.events
            self._step(speaking)
            time.sleep(FRAME_S)

    def wait_for(self, kind: type[Event]) -> None:
        self.wait(lambda: self.of(kind))

    def pass_time(self, seconds: float, *, speaking: bool = False) -> None:
        end = self.at + seconds * 16_000
        self.wait(lambda: self.at >= end, speaking=speaking)

    def speak(self, seconds: float) -> None:
        self.pass_time(seconds, speaking=True)


@pytest.fixture
def user(address: str) -> Iterator[ServedListener]:
    key = ServerKey(TOKEN, "COVO_TOKEN")
    engine = RealtimeEngine(server_address(address), key, LevelDetector())
    engine.warm_up(lambda stage: None)
    yield ServedListener(engine)
    engine.close()


def test_a_question_is_understood_and_answered(user: ServedListener) -> None:
    assert user.engine.info.parts["server"].startswith("fake at 127.0.0.1")
    assert user.engine.info.voice == "first"
    user.speak(1.0)
    user.wait_for(ReplyFinished)
    said = [event.text for event in user.of(UserTranscript) if event.final]
    assert said == ["what is the capital of France?"]
    assert user.of(ReplyFinished)[0].text.split() == WORDS
    assert [event.over for event in user.of(EndpointJudged)][-1]
    assert user.of(TurnLatency)[0].total > 0
    assert user.engine._talk.kind is ServerKind.COVO
    user.pass_time(3.0)
    assert not user.of(Notice), "the server knows that all of it was heard"
    assert user.states[0] == "user speaking"
    assert user.states[-2:] == ["speaking", "listening"]


def test_typed_text_is_answered(user: ServedListener) -> None:
    user.engine.command(SayText("hello"))
    user.wait_for(ReplyFinished)
    user.pass_time(3.0)
    assert not user.of(Notice)


def test_a_question_over_a_reply_ends_it_and_is_answered(user: ServedListener) -> None:
    user.speak(1.0)
    user.wait(lambda: user.speaker.played.samples > 12_000)
    user.speak(2.0)
    user.wait_for(Interrupted)
    user.wait_for(ReplyFinished)
    assert "stop" in user.controls
    cut = user.of(Interrupted)[0]
    assert cut.unheard
    assert len([event for event in user.of(UserTranscript) if event.final]) == 2


def test_a_key_stops_the_reply(user: ServedListener) -> None:
    user.speak(1.0)
    user.wait(lambda: user.speaker.played.samples > 12_000)
    user.engine.command(Interrupt())
    user.wait_for(Interrupted)
    user.wait(lambda: not user.engine.busy)
    assert user.states[-1] == "listening"
    assert not user.of(Notice)


def test_its_voices_are_known(address: str, monkeypatch: pytest.MonkeyPatch) -> None:
    there = {"engine.name": "realtime", "remote.url": address}
    monkeypatch.setenv("COVO_TOKEN", TOKEN)
    assert remote_voices(load_settings(there)) == ("first", "second")
    monkeypatch.setenv("COVO_TOKEN", "ek_wrong_token")
    assert remote_voices(load_settings({**there, "remote.voice": "third"})) == ("third",)


def test_a_wrong_token_is_refused(address: str) -> None:
    key = ServerKey("ek_wrong", "COVO_TOKEN")
    with pytest.raises(RemoteError, match="refused the key in COVO_TOKEN"):
        dial(server_address(address), key, {}, lambda stage: None)
