"""A realtime server on loopback that says what a test tells it to.

What it says is valid by the types of the ``openai`` package, and so is what clients say to it;
where a test plays a server that differs, it says so.
"""

from __future__ import annotations

import base64
import json
import threading
import time
from collections.abc import Callable, Mapping
from http import HTTPStatus
from typing import Any

import numpy as np
from openai.types.realtime import RealtimeClientEvent, RealtimeServerEvent
from pydantic import TypeAdapter
from websockets.exceptions import ConnectionClosed
from websockets.http11 import Request, Response
from websockets.sync.server import Server, ServerConnection, serve

from audio_io.signal import Audio

FROM_CLIENT: TypeAdapter[Any] = TypeAdapter(RealtimeClientEvent)
FROM_SERVER: TypeAdapter[Any] = TypeAdapter(RealtimeServerEvent)
PATIENCE_S = 5.0
USAGE = {"type": "duration", "seconds": 1.0}
SERVER_VAD = {"type": "server_vad", "create_response": True, "interrupt_response": True}

Answer = Callable[["FakeRealtime", ServerConnection], None]


def wait_until(condition: Callable[[], object], what: str = "") -> None:
    """Wait for what another thread does, at most for :data:`PATIENCE_S`."""
    end = time.monotonic() + PATIENCE_S
    while not condition():
        assert time.monotonic() < end, what or "it did not happen"
        time.sleep(0.002)


class FakeRealtime:
    """A server with one conversation; use it in a ``with`` statement.

    ``status``: refuse connections with it. ``greeting``: what is said in place of a session.
    ``confirms``: answer updates. ``strict``: clients may say only what the types know.
    ``session``: more fields of the session. ``received`` has all but the sound, ``sound`` that.
    """

    def __init__(
        self,
        *,
        status: int = 0,
        greeting: Answer | None = None,
        confirms: bool = True,
        waits_for_update: bool = False,
        strict: bool = True,
        session: Mapping[str, Any] | None = None,
        ssl: Any = None,
    ) -> None:
        self.status = status
        self.greeting = greeting
        self.confirms = confirms
        self.waits_for_update = waits_for_update
        self.strict = strict
        self.session = dict(session or {})
        self.received: list[dict[str, Any]] = []
        self.sound = b""
        self.requests: list[Request] = []
        self.connections = 0
        self.pushed = 0
        """How many events the client got besides those of the handshake."""
        self.failure: BaseException | None = None
        self._connection: ServerConnection | None = None
        self._counter = 0
        self._ssl = ssl
        self._server: Server | None = None
        self._thread: threading.Thread | None = None

    def __enter__(self) -> FakeRealtime:
        self.start()
        return self

    def start(self, port: int = 0) -> None:
        """Listen, on ``port`` or any."""
        self._server = serve(
            self._hold,
            "127.0.0.1",
            port,
            process_request=self._admit,
            ssl=self._ssl,
            compression=None,
            close_timeout=0.1,
        )
        self._thread = threading.Thread(target=self._server.serve_forever, daemon=True)
        self._thread.start()

    def stop(self) -> None:
        """Stop listening and drop the connection."""
        if self._server is not None:
            self._server.shutdown()
        if self._connection is not None:
            self._connection.socket.close()
        self._connection = None

    def __exit__(self, *raised: object) -> None:
        if self._connection is not None:
            self._connection.close()
        if self._server is not None:
            self._server.shutdown()
        if self.failure is not None:
            raise self.failure

    @property
    def port(self) -> int:
        assert self._server is not None
        port: int = self._server.socket.getsockname()[1]
        return port

    @property
    def url(self) -> str:
        return f"ws{'s' if self._ssl else ''}://127.0.0.1:{self.port}/v1/realtime"

    def of(self, kind: str) -> list[dict[str, Any]]:
        """What the client said of this kind."""
        return [event for event in self.received if event["type"] == kind]

    def wait_for(self, kind: str, count: int = 1) -> dict[str, Any]:
        """Wait until the client has said so for the ``count``-th time; return that."""
        wait_until(lambda: len(self.of(kind)) >= count, f"no {kind}: {self.received}")
        return self.of(kind)[count - 1]

    def say(self, kind: str, *, valid: bool = True, **fields: Any) -> None:
        """Say an event. ``valid``: the types know it."""
        event = {"type": kind, "event_id": self._id("event"), **fields}
        if valid:
            FROM_SERVER.validate_python(event, strict=True)
        self.pushed += 1
        assert self._connection is not None
        self._connection.send(json.dumps(event))

    def drop(self) -> None:
        """Cut the connection without a word."""
        assert self._connection is not None
        self._connection.socket.shutdown(2)

    def hang_up(self, code: int, reason: str = "") -> None:
        """Close the connection."""
        assert self._connection is not None
        self._connection.close(code, reason)

    # Whole turns and responses

    def speech_started(self, item: str, at_ms: int = 0) -> None:
        self.say("input_audio_buffer.speech_started", item_id=item, audio_start_ms=at_ms)

    def turn(self, item: str, words: str, start_ms: int = 0, end_ms: int = 1000) -> None:
        """Say that the user began and ended a turn of these words."""
        self.speech_started(item, start_ms)
        self.end_turn(item, words, end_ms)

    def end_turn(self, item: str, words: str, end_ms: int = 1000) -> None:
        self.say("input_audio_buffer.speech_stopped", item_id=item, audio_end_ms=end_ms)
        self.commit(item, words)

    def commit(self, item: str, words: str) -> None:
        self.say("input_audio_buffer.committed", item_id=item, previous_item_id=None)
        content = [{"type": "input_audio", "transcript": None}]
        message = {
            **{"id": item, "object": "realtime.item", "type": "message", "role": "user"},
            **{"status": "completed", "content": content},
        }
        for kind in ("added", "done"):
            self.say(f"conversation.item.{kind}", previous_item_id=None, item=message)
        self.say(
            "conversation.item.input_audio_transcription.completed",
            **{"item_id": item, "content_index": 0, "transcript": words, "usage": USAGE},
        )

    def begin_response(self, name: str) -> None:
        """Announce the response ``name`` with the item ``item_of_NAME``."""
        self.say("response.created", response=self._response(name, "in_progress"))
        message = {
            **{"id": f"item_of_{name}", "object": "realtime.item", "type": "message"},
            **{"role": "assistant", "status": "in_progress", "content": []},
        }
        self.say("response.output_item.added", response_id=name, output_index=0, item=message)
        self.say("conversation.item.added", previous_item_id=None, item=message)
        part = {"type": "audio", "transcript": ""}
        self.say("response.content_part.added", **self._place(name), part=part)

    def say_words(self, name: str, words: str) -> None:
        self.say("response.output_audio_transcript.delta", **self._place(name), delta=words)

    def say_sound(self, name: str, seconds: float) -> None:
        self.say("response.output_audio.delta", **self._place(name), delta=encoded(tone(seconds)))

    def end_response(self, name: str, status: str = "completed", **details: Any) -> None:
        self.say("response.output_audio.done", **self._place(name))
        response = self._response(name, status)
        if details:
            response["status_details"] = {"type": status, **details}
        self.say("response.done", response=response)

    def respond(self, name: str, words: str, seconds: float) -> None:
        """Say a whole response at once."""
        self.begin_response(name)
        self.say_words(name, words)
        self.say_sound(name, seconds)
        self.end_response(name)

    def _place(self, name: str) -> dict[str, Any]:
        ids = {"response_id": name, "item_id": f"item_of_{name}"}
        return {**ids, "output_index": 0, "content_index": 0}

    @staticmethod
    def _response(name: str, status: str) -> dict[str, Any]:
        return {"id": name, "object": "realtime.response", "status": status, "output": []}

    # The connection

    def _admit(self, connection: ServerConnection, request: Request) -> Response | None:
        self.requests.append(request)
        if not self.status:
            return None
        response = connection.respond(HTTPStatus(self.status), "no\n")
        if self.status == 503:
            response.headers["Retry-After"] = "7"
        return response

    def _hold(self, connection: ServerConnection) -> None:
        try:
            self._talk(connection)
        except ConnectionClosed:
            pass
        except BaseException as error:
            self.failure = error
            raise

    def _talk(self, connection: ServerConnection) -> None:
        if self.greeting is not None:
            return self.greeting(self, connection)
        if self.waits_for_update:
            self._take(json.loads(connection.recv()))
            self._connection, self.connections = connection, self.connections + 1
        self._tell(connection, "session.created")
        for message in connection:
            event = json.loads(message)
            self._take(event)
            if event["type"] != "session.update":
                continue
            if self._connection is connection:
                self.pushed += self.confirms
            else:
                self._connection, self.connections = connection, self.connections + 1
            if self.confirms:
                self._tell(connection, "session.updated")
        return None

    def _take(self, event: dict[str, Any]) -> None:
        if self.strict:
            FROM_CLIENT.validate_python(event)
        if event["type"] == "input_audio_buffer.append":
            self.sound += base64.b64decode(event["audio"])
            return
        if event["type"] == "session.update":
            _merge(self.session, event["session"])
        self.received.append(event)

    def _tell(self, connection: ServerConnection, kind: str) -> None:
        session = {"type": "realtime", "id": "sess_1", "model": "tiny", **self.session}
        audio = session.setdefault("audio", {})
        audio = session["audio"] = {"input": {}, "output": {}, **audio}
        audio["input"] = {"turn_detection": SERVER_VAD, **audio["input"]}
        event = {"type": kind, "event_id": self._id("event"), "session": session}
        FROM_SERVER.validate_python(event, strict=True)
        connection.send(json.dumps(event))

    def _id(self, kind: str) -> str:
        self._counter += 1
        return f"{kind}_{self._counter}"


def tone(seconds: float) -> Audio:
    """Sound of a reply: 24 kHz."""
    time = np.arange(round(seconds * 24_000)) / 24_000
    return (0.3 * np.sin(2 * np.pi * 300 * time)).astype(np.float32)


def encoded(sound: Audio) -> str:
    """``sound`` as 16-bit samples in base64."""
    return base64.b64encode((sound * 32767).astype("<i2").tobytes()).decode()


def _merge(into: dict[str, Any], update: Mapping[str, Any]) -> None:
    for key, value in update.items():
        if isinstance(value, Mapping) and isinstance(into.get(key), dict):
            _merge(into[key], value)
        else:
            into[key] = json.loads(json.dumps(value))
