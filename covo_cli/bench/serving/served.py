"""The server that is measured, in a process of its own, and its gauges."""

from __future__ import annotations

import asyncio
import socket
import threading
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from multiprocessing import get_context
from multiprocessing.connection import Connection
from typing import Any

import psutil
import uvicorn

from audio_io.signal import Audio
from audio_io.worker import Worker
from covo_cli.bench.soak.subject import SCRIPTED, scripted_engine
from covo_cli.engines.engines import EngineChoice, build_engine, for_sessions
from covo_cli.errors import CliError
from covo_cli.process.native import keep_heap_small
from covo_cli.serve.app import ServerApp
from covo_cli.serve.handshake import Handshake
from covo_cli.serve.places import Places
from covo_cli.serve.run_serve import ServeOptions, describe, servable, server_config
from covo_cli.settings.settings import Settings
from model.engine import Engine
from model.hearing.recognition import Transcript
from model.jobs.channel import Cancelled, never
from model.jobs.processes import interrupts_held

LOAD_S = 600.0
"""Longest time to load the engines."""

_ANSWER_S = 30.0
_STATE, _STOP = "state", "stop"


@dataclass(frozen=True, slots=True)
class ServerState:
    """What the server's process holds: ``busy`` and ``queued`` as of its places; ``gaps`` and
    ``late_steps`` since it began; ``names`` of its threads."""

    megabytes: float
    names: tuple[str, ...]
    tasks: int
    open_files: int
    busy: int
    queued: int
    places: int
    gaps: int
    late_steps: int

    @property
    def threads(self) -> int:
        """How many there are."""
        return len(self.names)


class ServedProcess:
    """A server with ``sessions`` engines called ``engine``, at :attr:`port` once it has begun.

    A context manager; for one thread. Raises: CliError.
    """

    def __init__(self, settings: Settings, engine: str, sessions: int, token: str) -> None:
        context = get_context("spawn")
        self._pipe, theirs = context.Pipe()
        work = (theirs, settings, engine, sessions, token)
        self._process = context.Process(target=_serve, args=work, daemon=True)
        self.port = 0

    def __enter__(self) -> ServedProcess:
        """Start the process and wait until its engines are loaded."""
        with interrupts_held():  # this one stops it
            self._process.start()
        if not self._pipe.poll(LOAD_S):
            raise CliError("the server does not begin")
        self.port = self._read()
        return self

    def __exit__(self, *failure: object) -> None:
        """Stop the process."""
        if self._process.is_alive():
            self._pipe.send(_STOP)
            self._process.join(_ANSWER_S)
        if self._process.is_alive():
            self._process.kill()
            self._process.join()

    @property
    def state(self) -> ServerState:
        """What it holds now."""
        self._pipe.send(_STATE)
        if not self._pipe.poll(_ANSWER_S):
            raise CliError("the server does not answer")
        found = self._read()
        assert isinstance(found, ServerState)
        return found

    def _read(self) -> Any:
        try:
            return self._pipe.recv()
        except EOFError as error:
            raise CliError("the server has ended: see covo's log") from error


class _OneQuestion:
    """A recogniser that understands the same words in every sound."""

    def transcribe(self, audio: Audio, cancelled: Cancelled = never) -> Transcript:
        """See :class:`model.hearing.recognition.Recognizer`."""
        return Transcript("What do bees make?", "en")


def _serve(pipe: Connection, settings: Settings, name: str, sessions: int, token: str) -> None:
    """Serve until told to stop, or until nobody is left at the other end of ``pipe``."""
    keep_heap_small()
    settings, choice = servable(settings), EngineChoice(name, "measured")
    if name != SCRIPTED:
        choice = for_sessions(settings, choice, sessions)
    engines: Sequence[Engine] = [
        scripted_engine(settings, _OneQuestion(), paced=True)
        if name == SCRIPTED
        else build_engine(settings, real_time=True, choice=choice)
        for _ in range(sessions)
    ]
    for engine in engines:
        engine.warm_up(lambda stage: None)
    described = EngineChoice("lite", "measured") if name == SCRIPTED else choice
    places = Places(engines)
    app = ServerApp(Handshake(token), places, describe(settings, described, engines[0]))
    listening = socket.create_server(("127.0.0.1", 0))
    server = uvicorn.Server(server_config(app, ServeOptions()))
    process = psutil.Process()

    async def state() -> ServerState:
        return ServerState(
            megabytes=process.memory_info().rss / 2**20,
            names=tuple(thread.name for thread in threading.enumerate()),
            tasks=len(asyncio.all_tasks()),
            open_files=process.num_fds() if psutil.POSIX else process.num_handles(),
            busy=places.busy,
            queued=places.queued,
            places=places.count,
            gaps=app.figures.gaps,
            late_steps=app.figures.late_steps,
        )

    async def run() -> None:
        loop = asyncio.get_running_loop()
        await _fill_pool(sessions)

        def answer() -> None:
            try:
                while pipe.recv() == _STATE:
                    pipe.send(asyncio.run_coroutine_threadsafe(state(), loop).result())
            except EOFError:
                pass
            server.should_exit = True

        Worker(answer, "gauges").start()
        pipe.send(listening.getsockname()[1])
        await server.serve([listening])

    asyncio.run(run())
    for engine in engines:
        engine.close()


async def _fill_pool(threads: int) -> None:
    """Start all threads of asyncio's pool, in which engines are made ready for the next client.

    Each starts when those before it happen to be busy, and then stays: it is no client's.
    """
    asyncio.get_running_loop().set_default_executor(ThreadPoolExecutor(threads))
    together = threading.Barrier(threads)
    await asyncio.gather(*(asyncio.to_thread(together.wait) for _ in range(threads)))
