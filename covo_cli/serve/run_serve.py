"""Load the engines, serve them until Ctrl-C, and show a line of what goes on."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import signal
import socket
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass, replace
from pathlib import Path
from types import FrameType

import uvicorn

from audio_io.worker import Worker
from covo_cli.engines.engines import (
    EngineChoice,
    build_engine,
    choose_engine,
    for_sessions,
    voices_to_choose,
)
from covo_cli.engines.engines import turn_settings as turn_settings_of
from covo_cli.errors import SettingsError
from covo_cli.process.log import native_log_path
from covo_cli.process.native import return_free_memory, send_native_stderr_to
from covo_cli.process.terminal import PlainConsole
from covo_cli.serve.app import ServerApp
from covo_cli.serve.check import check_server
from covo_cli.serve.figures import log_as_json
from covo_cli.serve.handshake import Handshake, new_token
from covo_cli.serve.page_routes import page_link, page_routes
from covo_cli.serve.places import Places
from covo_cli.serve.prompt_http import PromptHttp
from covo_cli.serve.realtime.session_object import ServedEngine, voices_told
from covo_cli.serve.recording import SessionRecordings
from covo_cli.settings.settings import Settings
from model.engine import Engine

TOKEN_VARIABLE = "COVO_TOKEN"
MOST_BYTES = 20 * 1024 * 1024
"""Longest message: 15 MiB of sound in base64."""
PING_S = 20.0
DRAIN_S = 30.0
"""Time that replies have to end when the server is told to stop."""
_STATUS_S = 1.0
_QUOTING = ("model.lite.text.phonemes",)
"""Loggers of modules that quote what is said; nobody's words belong in a server's log."""
_LOOPBACK = ("127.0.0.1", "localhost", "::1")


@dataclass(frozen=True, slots=True)
class ServeOptions:
    """Where to serve, and to whom. ``token`` empty: a new one. ``sessions``: conversations at once.
    ``record``: record them. ``json_log``: tell on stdout what happens."""

    host: str = "127.0.0.1"
    port: int = 8765
    token: str = ""
    hosts: tuple[str, ...] = ()
    origins: tuple[str, ...] = ()
    certificate: Path | None = None
    key: Path | None = None
    sessions: int = 1
    record: bool = False
    json_log: bool = False
    check: bool = False


def run_serve(settings: Settings, options: ServeOptions) -> int:
    """Serve until interrupted; return the exit code. Raises: SettingsError, ModelError and the
    errors of the other rooms."""
    token = options.token or os.environ.get(TOKEN_VARIABLE, "")
    _check_options(options, token)
    settings = servable(settings)
    send_native_stderr_to(native_log_path())
    log_no_words()
    if options.json_log:
        log_as_json()
    console = PlainConsole(stderr=True)
    recordings = SessionRecordings(settings) if options.record else None
    choice = for_sessions(settings, choose_engine(settings), options.sessions)
    with ExitStack() as stack:
        engines = [
            build_engine(settings, real_time=True, choice=choice) for _ in range(options.sessions)
        ]
        for engine in engines:
            stack.callback(engine.close)
        _load(engines, choice, console)
        generated = not token
        token = token or new_token()
        served = describe(settings, choice, engines[0])
        handshake = Handshake(token, (*options.hosts, options.host), options.origins)
        app = ServerApp(
            handshake,
            Places(engines),
            served,
            engines[0].info.lacks,
            pages=page_routes(),
            recordings=recordings,
        )
        if recordings is not None:
            stack.callback(recordings.close)
            console.print(f"Recording   every session, in {recordings.folder}: tell who talks here")
        shown = token if generated else f"as set by --token or {TOKEN_VARIABLE}"
        return asyncio.run(_serve(app, options, token, shown, console))


def servable(settings: Settings) -> Settings:
    """Return ``settings`` without backchannels: the protocol has no sound outside of responses."""
    return replace(settings, turns=replace(settings.turns, backchannels=False))


def log_no_words() -> None:
    """Keep what is said out of the log."""
    for name in _QUOTING:
        logging.getLogger(name).disabled = True


def describe(settings: Settings, choice: EngineChoice, engine: Engine) -> ServedEngine:
    """Return what clients are told of ``engine``. Raises: VoiceError, ModelError."""
    info = engine.info
    return ServedEngine(
        model=info.name,
        voice=info.voice or "none",
        voices=voices_told(tuple(voices_to_choose(settings, choice)), info.voice or "none"),
        transcriber=info.parts.get("recogniser", "none"),
        turns=turn_settings_of(settings),
        lacks=info.lacks,
    )


def server_config(app: ServerApp, options: ServeOptions) -> uvicorn.Config:
    """Return uvicorn's settings for ``app``."""
    logging.getLogger("uvicorn.error").addFilter(_is_trouble)
    return uvicorn.Config(
        app,
        host=options.host,
        port=options.port,
        http=PromptHttp,
        ws="websockets-sansio",
        ws_max_size=MOST_BYTES,
        ws_ping_interval=PING_S,
        ws_ping_timeout=PING_S,
        ws_per_message_deflate=False,
        log_config=None,
        log_level=logging.WARNING,
        access_log=False,
        server_header=False,
        lifespan="off",
        timeout_graceful_shutdown=3,
        ssl_certfile=options.certificate,
        ssl_keyfile=options.key,
    )


def _is_trouble(record: logging.LogRecord) -> bool:
    """Return False for what uvicorn logs as an error, and is a client's: a refused handshake, and
    bytes that are no text."""
    message = record.getMessage()
    return "without completing handshake" not in message and "Invalid UTF-8" not in message


class DrainingServer(uvicorn.Server):
    """A server that SIGTERM stops once the replies under way have ended, or after
    :data:`DRAIN_S`. Another SIGTERM, or Ctrl-C, stops it at once."""

    def __init__(
        self, config: uvicorn.Config, places: Places, loop: asyncio.AbstractEventLoop
    ) -> None:
        super().__init__(config)
        self._places = places
        self._loop = loop
        self._draining: asyncio.Task[None] | None = None

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        """See :class:`uvicorn.Server`."""
        if sig == signal.SIGTERM and not self._places.draining:
            self._loop.call_soon_threadsafe(self._drain)
        elif sig == signal.SIGTERM:
            self.should_exit = True  # uvicorn would raise the signal once more
        else:
            super().handle_exit(sig, frame)

    def _drain(self) -> None:
        self._places.drain()
        self._draining = self._loop.create_task(self._end())

    async def _end(self) -> None:
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(DRAIN_S):
                await self._places.emptied()
        self.should_exit = True


async def _serve(
    app: ServerApp, options: ServeOptions, token: str, shown: str, console: PlainConsole
) -> int:
    family = socket.AF_INET6 if ":" in options.host else socket.AF_INET
    try:
        listening = socket.create_server((options.host, options.port), family=family)
    except OSError as error:
        where = f"{options.host}:{options.port}"
        raise SettingsError(f"cannot serve at {where}: {error.strerror}") from error
    loop = asyncio.get_running_loop()
    server = DrainingServer(server_config(app, options), app.places, loop)
    serving = asyncio.ensure_future(server.serve([listening]))
    port = listening.getsockname()[1]
    secure = "s" if options.certificate else ""
    host = f"[{options.host}]" if ":" in options.host else options.host
    address = f"http{secure}://{host}:{port}/v1"
    if options.check:
        code = await check_server(address, token, PlainConsole())
        server.should_exit = True
        await serving
        return code
    console.print(f"Serving at  {address}  (WebSocket: ws{secure}://{host}:{port}/v1/realtime)")
    console.print(f"Token       {shown}")
    link = page_link(address.removesuffix("/v1"), token if shown == token else "")
    console.print(f"Page        {link}", soft_wrap=True)  # else it is no link
    if options.host not in _LOOPBACK and not secure:
        console.print("Warning: others on the network can listen in; use --tls-cert, or ssh -L")
    showing = asyncio.ensure_future(_show(app, console))
    await serving
    showing.cancel()
    with contextlib.suppress(asyncio.CancelledError):
        await showing
    return 0


async def _show(app: ServerApp, console: PlainConsole) -> None:
    """Keep a status line up to date on a terminal."""
    if not console.is_terminal:
        return
    with console.status(app.figures.status) as status:
        while True:
            await asyncio.sleep(_STATUS_S)
            status.update(app.figures.status)


def _load(engines: Sequence[Engine], choice: EngineChoice, console: PlainConsole) -> None:
    """Load the engines, one after another. Ctrl-C works at any moment. Raises: ModelError."""
    info = engines[0].info
    times = f" for {len(engines)} conversations" if len(engines) > 1 else ""
    console.print(f"Engine {info.name} ({choice.reason}){times}: {info.description}")
    if choice.memory:
        console.print(f"Memory      {choice.memory}")

    def load() -> None:
        for engine in engines:
            engine.warm_up(lambda stage: None)

    loading = Worker(load, "load")
    with console.status("Loading ...") if console.is_terminal else contextlib.nullcontext():
        loading.start()
        while loading.is_alive():
            loading.join(1.0)
    if loading.failure is not None:
        raise loading.failure
    return_free_memory()


def _check_options(options: ServeOptions, token: str) -> None:
    if bool(options.certificate) != bool(options.key):
        raise SettingsError("--tls-cert and --tls-key belong together")
    for path in (options.certificate, options.key):
        if path is not None and not path.is_file():
            raise SettingsError(f"{path} is not a file")
    if token and not (token.isascii() and token.isprintable() and " " not in token):
        raise SettingsError("the token must be of printable ASCII characters, without spaces")
