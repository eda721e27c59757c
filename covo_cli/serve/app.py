"""The web application: its paths, and the checks in front of them."""

from __future__ import annotations

import json
import logging
from collections.abc import Awaitable, Callable, MutableMapping
from dataclasses import replace
from functools import partial
from http import HTTPStatus
from typing import Any

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, PlainTextResponse, Response
from starlette.routing import BaseRoute, Route, WebSocketRoute
from starlette.websockets import WebSocket

from audio_io.file_ends import FileSpeaker
from covo_cli.conversation.heap import SharedHeap
from covo_cli.serve.connection import ServerLimits, SessionConnection, described
from covo_cli.serve.figures import MEDIA_TYPE, ServerFigures
from covo_cli.serve.handshake import Handshake, Refusal
from covo_cli.serve.live.session import LiveSession
from covo_cli.serve.places import Places
from covo_cli.serve.protocol import WireProtocol
from covo_cli.serve.realtime.session import RealtimeSession
from covo_cli.serve.realtime.session_object import ServedEngine, SessionObject
from covo_cli.serve.realtime.speaker import SocketSpeaker
from covo_cli.serve.realtime.wire import WireError, new_id, read_json
from covo_cli.serve.recording import SessionRecordings
from covo_cli.serve.stepping import Stepper

RETRY_S = 5
"""When a client that found no place may come again."""

REALTIME = WireProtocol(RealtimeSession, lambda gap: SocketSpeaker(gap=gap))
LIVE = WireProtocol(
    lambda link, speaker: LiveSession(link), lambda gap: FileSpeaker(None), steady=True
)

_OPEN_PATHS = {"/health", "/"}
_ABORT = "covo.abort"
_ASKED = "covo.asked"
_MOST_BODY = 1024 * 1024

_NO_CALLS = "WebRTC is not served here: connect a WebSocket to /v1/realtime"

Scope = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[MutableMapping[str, Any]]]
SendMessage = Callable[[MutableMapping[str, Any]], Awaitable[None]]

log = logging.getLogger(__name__)


class ServerApp:
    """An ASGI application that serves ``places``. ``pages``: more routes, such as a web page's.
    ``recordings`` None: sessions are not recorded."""

    def __init__(
        self,
        handshake: Handshake,
        places: Places,
        served: ServedEngine,
        lacks: tuple[str, ...] = (),
        limits: ServerLimits | None = None,
        pages: tuple[BaseRoute, ...] = (),
        recordings: SessionRecordings | None = None,
    ) -> None:
        self._recordings = recordings
        self._handshake = handshake
        self.places = places
        """The places that are lent."""
        self._served = replace(served, recorded=recordings is not None)
        self._lacks = lacks
        self._limits = limits or ServerLimits()
        self._heap = SharedHeap()
        self._stepper = Stepper()
        self.figures = ServerFigures(places, recorded=recordings is not None)
        self._app = Starlette(
            routes=[
                WebSocketRoute("/v1/realtime", partial(self._talk, REALTIME)),
                WebSocketRoute("/v1/live/sessions", partial(self._talk, LIVE)),
                Route("/v1/models", self._models),
                Route("/v1/realtime/client_secrets", self._client_secret, methods=["POST"]),
                Route("/v1/realtime/calls", self._call, methods=["POST"]),
                Route("/health", self._health),
                Route("/metrics", self._metrics),
                *pages,
            ]
        )

    async def __call__(self, scope: Scope, receive: Receive, send: SendMessage) -> None:
        """Check a request and serve it."""
        if scope["type"] in ("http", "websocket"):
            refusal = self._refusal(scope)
            if refusal is not None:
                self.figures.refuse(refusal.status, refusal.reason)
                await _refuse(refusal, scope, receive, send)
                return
            transport = getattr(getattr(send, "__self__", None), "transport", None)
            scope[_ABORT] = transport.abort if transport is not None else lambda: None
        await self._app(scope, receive, send)

    def _refusal(self, scope: Scope) -> Refusal | None:
        headers = {
            key.decode("latin-1").lower(): value.decode("utf-8", "surrogateescape")
            for key, value in scope["headers"]
        }
        path, protocols = scope["path"], scope.get("subprotocols", [])
        needs_token = path not in _OPEN_PATHS and not path.startswith("/page/")
        refusal = self._handshake.refusal(
            headers, scope["scheme"], protocols, needs_token=needs_token
        )
        if refusal is None and scope["type"] == "websocket" and self.places.full:
            why = "the server stops" if self.places.draining else "all places are taken"
            return Refusal(HTTPStatus.SERVICE_UNAVAILABLE, why)
        if refusal is None and needs_token:
            scope[_ASKED] = self._handshake.let_in(headers, protocols)
        return refusal

    async def _talk(self, protocol: WireProtocol, socket: WebSocket) -> None:
        connection = SessionConnection(
            protocol,
            socket,
            self.places,
            lambda engine: described(engine, self._served),
            self._limits,
            socket.scope[_ABORT],
            self.figures,
            self._stepper,
            self._heap.trim,
            self._recordings,
            asked=json.loads(socket.scope[_ASKED] or b"{}"),
        )
        await connection.serve()

    async def _models(self, request: Request) -> JSONResponse:
        model = {
            "id": self._served.model,
            "object": "model",
            "created": 0,
            "owned_by": "covo",
            "voices": list(self._served.voices),
            "lacks": list(self._lacks),
            "recorded": self._served.recorded,
        }
        return JSONResponse({"object": "list", "data": [model]})

    async def _client_secret(self, request: Request) -> JSONResponse:
        try:
            asked = await _session_of(request)
            secret, expires_at = self._handshake.issue_secret(json.dumps(asked).encode())
            session = SessionObject(self._served, new_id("sess"), expires_at)
            session.update(asked)
        except WireError as error:
            return JSONResponse({"error": error.told()["error"]}, HTTPStatus.BAD_REQUEST)
        except ValueError:
            long = WireError("the session is too long for a secret", "session", "too_large")
            return JSONResponse({"error": long.told()["error"]}, HTTPStatus.BAD_REQUEST)
        return JSONResponse({"value": secret, "expires_at": expires_at, "session": session.value})

    async def _call(self, request: Request) -> JSONResponse:
        error = WireError(_NO_CALLS, code="unsupported").told()["error"]
        return JSONResponse({"error": error}, HTTPStatus.NOT_IMPLEMENTED)

    async def _metrics(self, request: Request) -> Response:
        return Response(self.figures.metrics(), media_type=MEDIA_TYPE)

    async def _health(self, request: Request) -> JSONResponse:
        places = self.places
        state = {"sessions": places.busy, "places": places.count, "queued": places.queued}
        status = "draining" if places.draining else "ok" if places.count else "failed"
        return JSONResponse({"status": status, **state}, 200 if status == "ok" else 503)


async def _session_of(request: Request) -> dict[str, Any]:
    """Return the session that a request for a secret asks for. Raises: WireError."""
    body = b""
    async for part in request.stream():
        body += part
        if len(body) > _MOST_BODY:
            raise WireError("the request may have 1 MiB", code="too_large")
    value = read_json(body.decode("utf-8", "replace")) if body.strip() else {}
    session = value.get("session")
    if not isinstance(session, dict | None):
        raise WireError("session must be an object", "session", "invalid_type")
    return session or {}


async def _refuse(refusal: Refusal, scope: Scope, receive: Receive, send: SendMessage) -> None:
    """Answer with the refusal's status, for a socket instead of accepting it."""
    headers = {}
    if refusal.status is HTTPStatus.SERVICE_UNAVAILABLE:
        headers["Retry-After"] = str(RETRY_S)
    if refusal.status is HTTPStatus.UNAUTHORIZED:
        headers["WWW-Authenticate"] = "Bearer"
    answer = PlainTextResponse(f"{refusal.reason}\n", refusal.status, headers)
    if scope["type"] == "websocket":
        await WebSocket(scope, receive, send).send_denial_response(answer)
    else:
        await answer(scope, receive, send)
