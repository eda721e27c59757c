"""A real server in this process, with made-up engines, for real clients."""

from __future__ import annotations

import asyncio
import json
import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from websockets.sync.client import ClientConnection, connect

from audio_io.signal import Audio
from covo_cli.serve.app import ServerApp
from covo_cli.serve.connection import ServerLimits
from covo_cli.serve.handshake import Handshake
from covo_cli.serve.page_routes import page_routes
from covo_cli.serve.places import Places
from covo_cli.serve.recording import SessionRecordings
from covo_cli.serve.run_serve import DrainingServer, ServeOptions, server_config
from model.jobs.thread_executor import ThreadExecutor
from model.turns.controller import TurnTakingEngine
from model.turns.phrases import phrases_of
from tests.covo_cli.serve.wire_talk import SERVED
from tests.fakes.engine import FakeClock, FakeGenerator, FakeRecognizer, LevelDetector

TOKEN = "ek_test"
BEARER = {"Authorization": f"Bearer {TOKEN}"}


@dataclass
class LiveServer:
    """A server at ``port``."""

    port: int
    app: ServerApp
    fakes: list[FakeGenerator]
    loop: asyncio.AbstractEventLoop
    server: DrainingServer

    @property
    def address(self) -> str:
        return f"http://127.0.0.1:{self.port}/v1"

    @property
    def places(self) -> Places:
        return self.app.places


def made_up_engine(fake: FakeGenerator, recognized: Callable[[Audio], str]) -> TurnTakingEngine:
    """An engine in real time that answers as ``fake`` does."""
    recognizer = FakeRecognizer(fake.clock, recognized)
    parts = (LevelDetector(), ThreadExecutor(), SERVED.turns, recognizer, phrases_of("en"))
    return TurnTakingEngine(fake, *parts)


@contextmanager
def serving(
    engines: int = 1,
    limits: ServerLimits | None = None,
    recognized: Callable[[Audio], str] = lambda audio: "hello",
    recordings: SessionRecordings | None = None,
    **made: Any,
) -> Iterator[LiveServer]:
    fakes = [FakeGenerator(FakeClock(), **made) for _ in range(engines)]
    built = [made_up_engine(fake, recognized) for fake in fakes]
    app = ServerApp(
        Handshake(TOKEN), Places(built), SERVED, ("nothing",), limits, page_routes(), recordings
    )
    listening = socket.create_server(("127.0.0.1", 0))
    loop = asyncio.new_event_loop()
    server = DrainingServer(server_config(app, ServeOptions(port=0)), app.places, loop)

    def run() -> None:
        loop.run_until_complete(server.serve([listening]))
        loop.run_until_complete(loop.shutdown_default_executor())
        loop.close()

    thread = threading.Thread(target=run)
    thread.start()
    try:
        yield LiveServer(listening.getsockname()[1], app, fakes, loop, server)
    finally:
        server.should_exit = True
        thread.join()
        for engine in built:
            engine.close()


def until(true: Any, seconds: float = 10.0) -> None:
    """Wait until ``true()``."""
    end = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < end, "it never came"
        time.sleep(0.01)


def opened(server: LiveServer, query: str = "model=x", **more: Any) -> ClientConnection:
    more.setdefault("additional_headers", BEARER)
    address = f"ws://127.0.0.1:{server.port}/v1/realtime?{query}"
    return connect(address, proxy=None, **more)


def send(socket: ClientConnection, kind: str, **fields: Any) -> None:
    socket.send(json.dumps({"type": kind, **fields}))


def receive(socket: ClientConnection, kind: str) -> list[dict[str, Any]]:
    """The events up to the first of ``kind``."""
    events: list[dict[str, Any]] = []
    while not events or events[-1]["type"] != kind:
        events.append(json.loads(socket.recv(20)))
    return events
