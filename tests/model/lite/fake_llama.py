"""xllamacpp's server, made up: it answers chats as scripted, in llama.cpp's shapes."""

from __future__ import annotations

import json
import math
import threading
import weakref
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from model.lite import llama

Receive = Callable[[dict[str, Any]], bool]
Answer = Sequence[dict[str, Any]]
KNOWS_TOOLS = {"supports_tools": True, "supports_tool_calls": True, "supports_system_role": True}


class FakeLlama:
    """Gives each chat the next of ``answers``, lists of deltas, and then the last one again.

    ``properties``: what ``/props`` tells; None for an error. ``asked`` are the requests for chats,
    which wait for ``gate``, ``weighed`` those for completions. ``loaded`` returns what is in
    memory.
    """

    def __init__(
        self,
        answers: Sequence[Answer] = ([{"content": "Hello."}],),
        properties: Mapping[str, Any] | None = None,
    ) -> None:
        self.answers = list(answers)
        self.properties = properties
        self.started: dict[str, Any] = {}
        self.asked: list[dict[str, Any]] = []
        self.weighed: list[dict[str, Any]] = []
        self.gate = threading.Event()
        self.gate.set()
        self.began = threading.Event()
        self.listening_address = ""
        self.loaded: Callable[[], object] = lambda: None

    @property
    def offered(self) -> list[list[str]]:
        """The names of the tools in each request."""
        return [
            [tool["function"]["name"] for tool in request.get("tools", ())]
            for request in self.asked
        ]

    def handle_chat_completions(self, request: dict[str, Any], receive: Receive) -> None:
        self.asked.append(request)
        self.began.set()
        assert self.gate.wait(5)
        if request["max_tokens"] == 1:
            answer: Answer = [{"content": "H"}]
        else:
            answer = self.answers.pop(0) if len(self.answers) > 1 else self.answers[0]
        calls = any("tool_calls" in delta for delta in answer)
        begin = {"role": "assistant", "content": None}
        for delta in (begin, *answer):
            if receive(_chunk(delta, None)):
                return
        receive(_chunk({}, "tool_calls" if calls else "stop"))

    def handle_completions(self, request: dict[str, Any], receive: Receive) -> None:
        self.weighed.append(request)
        step = {"top_logprobs": [{"token": ".", "logprob": math.log(0.5)}]}
        receive({"choices": [{"logprobs": {"content": [step, step]}}]})


class _Loaded:
    """What keeps the model in memory."""

    def __init__(self, fake: FakeLlama) -> None:
        self._fake = fake

    def __getattr__(self, name: str) -> Any:
        return getattr(self._fake, name)


def _chunk(delta: Mapping[str, Any], reason: str | None) -> dict[str, Any]:
    choice = {"finish_reason": reason, "index": 0, "delta": dict(delta)}
    kind = "chat.completion.chunk"
    return {"choices": [choice], "created": 0, "id": "chatcmpl-1", "model": "tiny", "object": kind}


@contextmanager
def served(fake: FakeLlama, monkeypatch: pytest.MonkeyPatch) -> Iterator[FakeLlama]:
    """Let ``fake`` be the server that is started for any file, which is not looked at."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            known = self.headers["Authorization"] == f"Bearer {fake.started['key']}"
            told = fake.properties is not None and known and self.path == "/props"
            self.send_response(200 if told else 500)
            self.end_headers()
            self.wfile.write(json.dumps(fake.properties if told else {"error": {}}).encode())

        def log_message(self, *about: object) -> None:
            """Say nothing."""

    def start(path: Path, **about: Any) -> _Loaded:
        assert not fake.started, "started twice"
        fake.started = {"path": path, **about}
        loaded = _Loaded(fake)
        fake.loaded = weakref.ref(loaded)
        return loaded

    monkeypatch.setattr(llama, "check_gguf", lambda path: None)
    monkeypatch.setattr(llama, "try_gguf", lambda *_, **__: None)
    monkeypatch.setattr(llama, "start_server", start)
    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as http:
        threading.Thread(target=http.serve_forever, args=(0.01,), daemon=True).start()
        fake.listening_address = f"http://127.0.0.1:{http.server_port}"
        yield fake
        http.shutdown()
