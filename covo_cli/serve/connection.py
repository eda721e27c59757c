"""One client's socket: waiting for a place, the conversation, and every limit."""

from __future__ import annotations

import asyncio
import contextlib
import json
import logging
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

from starlette.websockets import WebSocket, WebSocketDisconnect

from audio_io.clock import seconds
from audio_io.worker import Worker
from covo_cli.conversation.conversation import Conversation, Ending
from covo_cli.conversation.heap import HeapTrimmer
from covo_cli.conversation.request import Request
from covo_cli.serve.figures import ServerFigures
from covo_cli.serve.handshake import SUBPROTOCOL
from covo_cli.serve.places import Places, ServerStopsError
from covo_cli.serve.protocol import SessionLink, WireProtocol, WireSession
from covo_cli.serve.realtime.microphone import SocketMicrophone
from covo_cli.serve.realtime.session_object import ServedEngine
from covo_cli.serve.realtime.wire import new_id
from covo_cli.serve.recording import SessionRecording, SessionRecordings
from covo_cli.serve.stepping import Stepper
from model.engine import Engine

MOST_EARLY = 64
"""Events kept of a client that waits for its place."""
MOST_EARLY_CHARACTERS = 1024 * 1024
"""Characters of these."""
MOST_QUEUED = 8 * 1024 * 1024
"""Characters that may wait to be sent to a client."""
_SOUND = ("input_audio_buffer.append", "input_audio.append")
"""Kinds of messages that are dropped while a client waits."""
_STOPS = "the server stops"
_LONG_S = 0.002
"""A message that takes longer is followed by a rest of :data:`_REST` times as long, because all
sessions share the thread."""
_REST = 4.0

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class ServerLimits:
    """Limits of a session, in seconds: its length, silence of the client, one send; and how many
    events it may send in a second."""

    session: float = 3600.0
    idle: float = 600.0
    send: float = 10.0
    events: float = 200.0


class _Gone(Exception):  # noqa: N818 - not a fault
    """The session is over; ``code`` and ``reason`` are those of the socket's close."""

    def __init__(self, code: int, reason: str) -> None:
        super().__init__(reason)
        self.code = code
        self.reason = reason


class SessionConnection:
    """Serves one accepted socket; ``abort`` drops it at once.

    ``describe``: what is told of an engine. ``trim``: gives free memory back; called once a minute
    while this session is silent. ``recordings`` None: sessions are not recorded.
    ``asked``: the session that the client's secret asks for.
    """

    def __init__(
        self,
        protocol: WireProtocol,
        socket: WebSocket,
        places: Places,
        describe: Callable[[Engine], ServedEngine],
        limits: ServerLimits,
        abort: Callable[[], None],
        figures: ServerFigures,
        stepper: Stepper,
        trim: Callable[[], None],
        recordings: SessionRecordings | None = None,
        asked: dict[str, Any] | None = None,
    ) -> None:
        self._asked = asked or {}
        self._protocol = protocol
        self._recordings = recordings
        self._socket = socket
        self._places = places
        self._describe = describe
        self._limits = limits
        self._abort = abort
        self._figures = figures
        self._stepper = stepper
        self._trim = trim
        self._extended = socket.query_params.get("covo") == "1"
        self._loop = asyncio.get_running_loop()
        self._outbox: asyncio.Queue[str] = asyncio.Queue()
        self._queued = 0
        self._early: list[str] = []
        self._session: WireSession | None = None
        self._conversation: Conversation | None = None
        self._ending = Ending.ERROR
        self._session_id = new_id("sess")
        self._heard_at = time.monotonic()

    async def serve(self) -> None:
        """Hold the session until one side ends it."""
        protocols = self._socket.scope.get("subprotocols", [])
        await self._socket.accept(SUBPROTOCOL if SUBPROTOCOL in protocols else None)
        tasks = [
            asyncio.ensure_future(work) for work in (self._read(), self._write(), self._hold())
        ]
        gone = _Gone(1011, "the server failed")
        try:
            await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
            for task in tasks:
                if not task.done():
                    continue
                error = task.exception()
                if isinstance(error, _Gone):
                    gone = error
                elif error is not None:
                    log.error("a session failed", exc_info=error)
        except asyncio.CancelledError:
            gone = _Gone(0, _STOPS)
            raise
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
            if self._conversation is not None:
                lasted = seconds(self._conversation.at)
                self._figures.end(self._session_id, str(gone), lasted)
        if gone.code:
            with contextlib.suppress(Exception):
                async with asyncio.timeout(self._limits.send):
                    while not self._outbox.empty():
                        await self._socket.send_text(self._outbox.get_nowait())
                    await self._socket.close(gone.code, gone.reason)

    async def _read(self) -> None:
        allowed, counted_at = self._limits.events, time.monotonic()
        while True:
            received = await self._socket.receive()
            if received["type"] == "websocket.disconnect":
                raise _Gone(0, "the client has left")
            message = received.get("text") or _text(received.get("bytes"))
            now = self._heard_at = time.monotonic()
            allowed = min(self._limits.events, allowed + (now - counted_at) * self._limits.events)
            counted_at = now
            allowed -= 1
            if allowed < 0:
                await asyncio.sleep(-allowed / self._limits.events)
            if self._session is not None:
                begun = time.thread_time()  # a busy machine is not the client's fault
                self._session.take(message)
                if (spent := time.thread_time() - begun) > _LONG_S:
                    await asyncio.sleep(spent * _REST)
            elif not any(kind in message[:200] for kind in _SOUND):
                waiting = sum(map(len, self._early)) + len(message)
                if len(self._early) >= MOST_EARLY or waiting > MOST_EARLY_CHARACTERS:
                    raise _Gone(1008, "too many events while waiting for a place")
                self._early.append(message)

    async def _write(self) -> None:
        while True:
            text = await self._outbox.get()
            self._queued -= len(text)
            try:
                async with asyncio.timeout(self._limits.send):
                    await self._socket.send_text(text)
            except TimeoutError as error:
                self._abort()
                raise _Gone(0, "the client does not read") from error
            except (WebSocketDisconnect, RuntimeError) as error:
                raise _Gone(0, "the client has left") from error

    async def _hold(self) -> None:
        try:
            engine = await self._places.enter(self._tell_place)
        except ServerStopsError:
            raise _Gone(1001, _STOPS) from None
        late = self._figures.step_late
        microphone = SocketMicrophone(late=late, steady=self._protocol.steady)
        begun, over = False, asyncio.Event()
        try:
            self._begin(engine, microphone, over)
            begun = True
            await self._watch(over)
        finally:
            self._session = None
            microphone.close()
            self._places.leave(engine, over if begun else None)

    def _begin(self, engine: Engine, microphone: SocketMicrophone, over: asyncio.Event) -> None:
        """Begin the session, whose conversation sets ``over`` at its end."""
        speaker = self._protocol.speaker(self._figures.leave_gap)
        conversation: Conversation

        def send(event: dict[str, Any]) -> None:
            text = json.dumps(event)  # now: what it tells of may change before it is sent
            with contextlib.suppress(RuntimeError):  # the loop is closed
                self._loop.call_soon_threadsafe(self._send, text)

        def tell(level: str, text: str) -> None:
            if self._extended:
                told = {"type": "covo.notice", "event_id": new_id("event")}
                send({**told, "level": level, "text": text})

        def command(request: Request) -> None:
            conversation.send(request)

        link = SessionLink(
            self._describe(engine),
            microphone,
            send,
            command,
            self._session_id,
            int(time.time() + self._limits.session),
            self._extended,
            partial(self._figures.answer, self._session_id),
            self._asked,
        )
        session = self._protocol.session(link, speaker)
        recorders = []
        if self._recordings is not None:
            recorders.append(SessionRecording(self._recordings, engine.info, tell))
        conversation = Conversation(
            microphone,
            speaker,
            engine,
            [session, *recorders, HeapTrimmer(self._trim)],
            over=lambda busy: self._places.draining and not busy,
        )
        self._conversation = conversation

        def end(ending: Ending) -> None:
            self._ending = ending
            with contextlib.suppress(RuntimeError):
                self._loop.call_soon_threadsafe(over.set)
            for recorder in recorders:
                Worker(recorder.finish, "recording").start()  # a disk may be slow

        self._figures.begin(self._session_id)
        session.open()
        for message in self._early:
            session.take(message)
        self._early.clear()
        self._session = session
        self._stepper.hold(conversation, microphone, end)

    async def _watch(self, over: asyncio.Event) -> None:
        """Return only by raising why the session ends."""
        until = time.monotonic() + self._limits.session
        self._heard_at = time.monotonic()
        while True:
            now = time.monotonic()
            idle = self._heard_at + self._limits.idle
            if now >= until:
                raise _Gone(1000, "the session has reached its longest time")
            if now >= idle:
                raise _Gone(1000, "nothing was heard for too long")
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(min(until, idle) - now):
                    await over.wait()
                    if self._places.draining:
                        raise _Gone(1001, _STOPS)
                    if self._ending is Ending.QUIT:
                        raise _Gone(1000, "the session was closed")
                    raise _Gone(1011, "the conversation broke off")

    async def _tell_place(self, position: int) -> None:
        if self._extended:
            event = {"type": "covo.queue", "event_id": new_id("event"), "position": position}
            self._send(json.dumps(event))

    def _send(self, text: str) -> None:
        """Queue an event; drop a client that lets too much wait."""
        self._queued += len(text)
        if self._queued > MOST_QUEUED:
            self._abort()
            while not self._outbox.empty():
                self._outbox.get_nowait()
            return
        self._outbox.put_nowait(text)


def _text(data: bytes | None) -> str:
    """Return a binary message as text: some clients send their events so."""
    return (data or b"").decode("utf-8", "replace")


def described(engine: Engine, served: ServedEngine) -> ServedEngine:
    """Return what is told of ``engine`` now, which ``served`` describes from the server's side."""
    info = engine.info
    return replace(served, model=info.name, voice=info.voice or "none", lacks=info.lacks)
