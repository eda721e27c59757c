"""Servers of chat models on this machine, as stand-ins of their documented answers."""

from __future__ import annotations

import json
import socket
import threading
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from model.endpoints import local_servers
from model.endpoints.local_servers import LocalServer, LocalServerKind, find_local_servers

OLLAMA = {
    "models": [
        {"name": "llama3.2:latest", "model": "llama3.2:latest", "size": 2_019_393_189},
        {"name": "nomic-embed-text:latest", "model": "nomic-embed-text:latest", "size": 274},
        {"name": "qwen3:8b", "model": "qwen3:8b", "size": 5_225_388_164},
    ]
}
LLAMA_CPP = {"object": "list", "data": [{"id": "/models/a b.gguf", "object": "model"}]}
ONLY_EMBEDDING = {"object": "list", "data": [{"id": "text-embedding-nomic", "object": "model"}]}


@contextmanager
def serving(content: bytes, status: int = 200, location: str = "") -> Iterator[tuple[int, list]]:
    """Answer every request with ``content``; yields the port and the paths that were asked for."""
    asked: list[str] = []

    class Answer(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            asked.append(self.path)
            self.send_response(status)
            if location:
                self.send_header("Location", location)
            self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            self.wfile.write(content)

        def log_message(self, *_: object) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Answer) as server:
        threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True).start()
        yield server.server_port, asked
        server.shutdown()


@pytest.fixture(autouse=True)
def _patient(monkeypatch: pytest.MonkeyPatch) -> None:
    """Lets busy machines answer in time."""
    monkeypatch.setattr(local_servers, "_LIMIT_S", 5.0)


def test_each_kind_is_found_by_its_list_of_models(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HTTP_PROXY", "http://127.0.0.1:9")
    ollama, llama, studio = local_servers.LOCAL_SERVER_KINDS
    assert [kind.port for kind in (ollama, llama, studio)] == [11434, 8080, 1234]
    with ExitStack() as stack:
        answers = (OLLAMA, LLAMA_CPP, ONLY_EMBEDDING)
        ports = [stack.enter_context(serving(json.dumps(one).encode())) for one in answers]
        found = find_local_servers(
            [
                LocalServerKind(kind.name, port, kind.path, kind.key, kind.field)
                for kind, (port, _) in zip((ollama, llama, studio), ports, strict=True)
            ]
        )
    assert found == (
        LocalServer(
            "Ollama", f"http://127.0.0.1:{ports[0][0]}/v1", ("llama3.2:latest", "qwen3:8b")
        ),
        LocalServer("llama.cpp", f"http://127.0.0.1:{ports[1][0]}/v1", ("/models/a b.gguf",)),
    )
    assert [asked for _, asked in ports] == [["/api/tags"], ["/v1/models"], ["/v1/models"]]


def test_other_programs_at_these_ports_are_left_alone() -> None:
    good = json.dumps(LLAMA_CPP).encode()
    answers = (
        (b"<html>", 200),
        (b"[]", 200),
        (b'{"data": null}', 200),
        (b'{"data": [{"id": 3}]}', 200),
        (b'{"data": [{"id": "a\\u001b[2J"}]}', 200),
        (b"[" * 5000, 200),
        (good + b" " * 1_000_001, 200),
        (good, 401),
    )
    with ExitStack() as stack:
        ports = [stack.enter_context(serving(*answer))[0] for answer in answers]
        elsewhere, asked = stack.enter_context(serving(good))
        away = f"http://127.0.0.1:{elsewhere}/v1/models"
        ports.append(stack.enter_context(serving(b"", 302, away))[0])
        assert find_local_servers([LocalServerKind("x", port) for port in ports]) == ()
    assert asked == []


def test_a_port_that_is_closed_or_says_nothing_costs_no_time(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(local_servers, "_LIMIT_S", 0.05)
    with socket.create_server(("127.0.0.1", 0)) as silent:
        port = silent.getsockname()[1]
        assert find_local_servers([LocalServerKind("silent", port)] * 3) == ()
    assert find_local_servers([LocalServerKind("closed", port)]) == ()
