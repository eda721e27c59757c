"""A local chat endpoint that speaks as much of OpenAI's protocol as a client of it needs."""

from __future__ import annotations

import json
import select
import socket
import threading
from collections.abc import Callable, Sequence
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import TracebackType
from typing import Any


class FakeEndpoint:
    """Answers every chat with ``deltas``; use it in a ``with`` statement.

    A delta is text, or a whole event.

    ``drop_after``: cut the connection after so many deltas. ``stall_after``: say nothing more after
    so many until :attr:`release` is set, or the client has gone (:attr:`hung_up`). ``error_after``:
    send an error event after so many. ``raw``: send these bytes instead of an event. ``script``
    answers a request's body in another way: status, content type and content, or None. ``base`` is
    the path that the endpoint has.
    ``requests`` collects what was asked: path, headers (lower case), JSON body.
    """

    def __init__(
        self,
        deltas: Sequence[str | dict[str, Any]] = ("Hello ", "there."),
        *,
        model: str = "tiny",
        drop_after: int | None = None,
        stall_after: int | None = None,
        error_after: int | None = None,
        raw: bytes | None = None,
        base: str = "/v1",
        script: Callable[[dict[str, Any]], tuple[int, str, str] | None] = lambda body: None,
    ) -> None:
        self.deltas = deltas
        self.model = model
        self.drop_after = drop_after
        self.stall_after = stall_after
        self.error_after = error_after
        self.raw = raw
        self.release = threading.Event()
        self.hung_up = threading.Event()
        self.requests: list[tuple[str, dict[str, str], dict[str, Any]]] = []
        endpoint = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_POST(self) -> None:
                length = int(self.headers.get("Content-Length", 0))
                body = json.loads(self.rfile.read(length))
                endpoint.requests.append(
                    (self.path, {k.lower(): v for k, v in self.headers.items()}, body)
                )
                scripted = script(body)
                if self.path.partition("?")[0] != f"{base}/chat/completions":
                    self._refuse(404, "no such page")
                elif scripted is not None:
                    self._reply(*scripted)
                elif body["model"] != endpoint.model:
                    self._refuse(404, f"model '{body['model']}' not found, try pulling it first")
                else:
                    self._answer()

            def _refuse(self, status: int, message: str) -> None:
                error = {"error": {"message": message, "type": "api_error"}}
                self._reply(status, "application/json", json.dumps(error))

            def _reply(self, status: int, kind: str, content: str) -> None:
                data = content.encode()
                self.send_response(status)
                self.send_header("Content-Type", kind)
                self.send_header("Content-Length", str(len(data)))
                if status in (301, 307):
                    self.send_header("Location", content)
                self.end_headers()
                self.wfile.write(data)

            def _stall(self) -> None:
                for _ in range(600):
                    if self._gone():
                        endpoint.hung_up.set()
                        return
                    if endpoint.release.wait(0.05):
                        return

            def _gone(self) -> bool:
                told, _, _ = select.select([self.connection], [], [], 0)
                try:
                    return bool(told) and not self.connection.recv(1, socket.MSG_PEEK)
                except ConnectionResetError:  # what had been sent was not read
                    return True

            def _answer(self) -> None:
                self.send_response(200)
                self.send_header("Content-Type", "text/event-stream")
                self.send_header("Transfer-Encoding", "chunked")
                self.end_headers()
                for index, delta in enumerate(endpoint.deltas):
                    if index == endpoint.drop_after:
                        self.close_connection = True
                        return
                    if index == endpoint.stall_after:
                        self._stall()
                    if endpoint.raw is not None:
                        self._send(endpoint.raw)
                        break
                    if index == endpoint.error_after:
                        self._event({"error": {"message": "out of memory", "type": "server_error"}})
                        break
                    words = {"role": "assistant", "content": delta}
                    self._event(delta if isinstance(delta, dict) else _chunk(words, None))
                else:
                    self._event(_chunk({}, "stop"))
                self._send(b"data: [DONE]\n\n")
                self._send(b"")

            def _event(self, payload: dict[str, Any]) -> None:
                self._send(b"data: " + json.dumps(payload).encode() + b"\n\n")

            def _send(self, data: bytes) -> None:
                try:
                    self.wfile.write(f"{len(data):x}\r\n".encode() + data + b"\r\n")
                    self.wfile.flush()
                except OSError:
                    self.close_connection = True
                    endpoint.hung_up.set()

            def log_message(self, format: str, *args: object) -> None:
                """Keep quiet."""

        class Server(ThreadingHTTPServer):
            def handle_error(self, request: object, client_address: object) -> None:
                """Clients that hang up are part of the tests."""

        self._server = Server(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        self._thread = threading.Thread(
            target=self._server.serve_forever, args=(0.02,), daemon=True
        )

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self._server.server_address[1]}"

    def __enter__(self) -> FakeEndpoint:
        self._thread.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.release.set()
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()


def _chunk(delta: dict[str, Any], finish: str | None) -> dict[str, Any]:
    return {
        "id": "1",
        "object": "chat.completion.chunk",
        "created": 0,
        "model": "tiny",
        "choices": [{"index": 0, "delta": delta, "finish_reason": finish}],
    }
