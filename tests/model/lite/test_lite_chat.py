"""Chat models: an endpoint of the user's own, and files that are no chat models."""

from __future__ import annotations

import contextlib
import socket
import threading
from collections import deque
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from model.endpoints.openai_chat import OpenAIChat
from model.errors import ChatError
from model.lite.chat import ChatSampling, LlamaChat, Message
from model.lite.llama import LlamaModel
from tests.fakes.openai import FakeEndpoint

ASK = [Message("system", "Be kind."), Message("user", "Hello?")]


def never() -> bool:
    return False


@pytest.mark.parametrize("tail", ["", "/", "/v1", "/v1/"])
def test_an_endpoint_answers_in_pieces(tail: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("OPENAI_API_KEY", raising=False)
    with FakeEndpoint(["Good ", "day", "."]) as endpoint:
        chat = OpenAIChat(endpoint.url + tail, "tiny")
        assert list(chat.stream(ASK, never)) == ["Good ", "day", "."]
        chat.close()
        chat.close()
    path, headers, body = endpoint.requests[0]
    assert path == "/v1/chat/completions"
    assert headers["authorization"] == "Bearer none"
    assert body["stream"] is True
    assert body["messages"] == [
        {"role": "system", "content": "Be kind."},
        {"role": "user", "content": "Hello?"},
    ]


def test_the_key_and_no_proxy_are_used(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", "secret")
    monkeypatch.setenv("HTTP_PROXY", "http://127.0.0.1:9")
    monkeypatch.setenv("ALL_PROXY", "http://127.0.0.1:9")
    with FakeEndpoint() as endpoint:
        assert "".join(OpenAIChat(endpoint.url, "tiny").stream(ASK, never)) == "Hello there."
    assert endpoint.requests[0][1]["authorization"] == "Bearer secret"


def complaint(chat: OpenAIChat) -> tuple[list[str], str]:
    """What came before the error, and the error's text."""
    came: list[str] = []
    with pytest.raises(ChatError) as raised:
        deque(map(came.append, chat.stream(ASK, never)))
    chat.close()
    message = str(raised.value)
    assert "\n" not in message
    return came, message


def test_nobody_listens() -> None:
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{unused.getsockname()[1]}"
        _, message = complaint(OpenAIChat(url, "tiny"))
    assert url in message
    assert "tiny" in message
    assert "is it running?" in message


def test_the_model_is_not_there() -> None:
    with FakeEndpoint(model="other") as endpoint:
        _, message = complaint(OpenAIChat(endpoint.url, "tiny"))
        assert endpoint.url in message
    assert "model 'tiny' not found" in message


@pytest.mark.parametrize(
    ("trouble", "words"),
    [({"drop_after": 1}, "lost the connection"), ({"error_after": 1}, "out of memory")],
)
def test_trouble_in_mid_reply(trouble: dict[str, int], words: str) -> None:
    with FakeEndpoint(["Good ", "day."], **trouble) as endpoint:
        came, message = complaint(OpenAIChat(endpoint.url, "tiny"))
        assert endpoint.url in message
    assert came == ["Good "]
    assert words in message


def test_a_stall_ends_with_the_timeout() -> None:
    with FakeEndpoint(["Good ", "day."], stall_after=1) as endpoint:
        _, message = complaint(OpenAIChat(endpoint.url, "tiny", timeout=0.2))
    assert endpoint.url in message


def test_cancelling_hangs_up_and_does_not_wait_for_the_endpoint() -> None:
    cancelled = threading.Event()
    with FakeEndpoint(["Good ", "day."], stall_after=1) as endpoint:
        stream = OpenAIChat(endpoint.url, "tiny").stream(ASK, cancelled.is_set)
        assert next(stream) == "Good "
        cancelled.set()
        # The endpoint says nothing until it is released below, so this can only end by itself.
        assert list(stream) == []
        assert not endpoint.release.is_set()
        assert endpoint.hung_up.wait(5)


@pytest.mark.parametrize("url", ["localhost:11434", "ftp://x/y", "", "http://"])
def test_no_address(url: str) -> None:
    with pytest.raises(ChatError, match="address"):
        OpenAIChat(url, "tiny")


def test_no_model_named() -> None:
    with pytest.raises(ChatError, match="--chat-model"):
        OpenAIChat("http://localhost:11434", "")


def test_files_that_are_no_chat_models(tmp_path: Path) -> None:
    with pytest.raises(ChatError, match="cannot read"):
        LlamaChat(LlamaModel(tmp_path / "missing.gguf"), ChatSampling()).load()
    junk = tmp_path / "junk.gguf"
    junk.write_bytes(b"PK\x03\x04")
    with pytest.raises(ChatError, match="not a GGUF file"):
        LlamaChat(LlamaModel(junk), ChatSampling()).load()
    with pytest.raises(ChatError, match="cannot read"):
        LlamaChat(LlamaModel(tmp_path), ChatSampling()).load()


def test_a_broken_gguf_file(tmp_path: Path) -> None:
    broken = tmp_path / "broken.gguf"
    broken.write_bytes(b"GGUF" + b"\0" * 400)
    with pytest.raises(ChatError, match="cannot load"):
        LlamaChat(LlamaModel(broken), ChatSampling()).load()


class NonsenseServer:
    """Answers with a chunk that llama.cpp never sends, and swallows what the callback raises."""

    def handle_chat_completions(
        self, request: object, receive: Callable[[dict[str, Any]], bool]
    ) -> None:
        with contextlib.suppress(Exception):
            receive({"choices": [{"no delta": "Hello"}]})


def test_a_bug_in_reading_the_chat_model_is_logged_and_raised_at_the_reader(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(LlamaModel, "server", lambda self, slot, progress: (NonsenseServer(), 0))
    chat = LlamaChat(LlamaModel(tmp_path / "tiny.gguf"), ChatSampling())
    with pytest.raises(ChatError, match="tiny failed: internal error: KeyError: 'delta'"):
        list(chat.stream(ASK, never))
    assert "Traceback" in caplog.text
    assert "KeyError: 'delta'" in caplog.text


@pytest.mark.parametrize(
    "raw",
    [
        b"data: {not json\n\n",
        b'data: {"choices": null}\n\n',
        b'data: {"choices": [{"index": 0, "delta": null}]}\n\n',
        b"data: \xff\xfe\n\n",
        b"data: 7\n\n",
    ],
)
def test_an_endpoint_that_sends_nonsense_is_named(raw: bytes):
    with (
        FakeEndpoint(raw=raw) as endpoint,
        pytest.raises(ChatError, match=r"tiny at http://127.0.0.1:\d+/v1") as error,
    ):
        list(OpenAIChat(endpoint.url, "tiny").stream([Message("user", "hi")], lambda: False))
    assert "\n" not in str(error.value)
