"""Connecting to a realtime server: each way to fail has its line, and each server its ways."""

from __future__ import annotations

import json
import shutil
import socket
import ssl
import subprocess
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from websockets.sync.server import ServerConnection

from model.endpoints.server_key import ServerKey
from model.errors import RemoteError
from model.realtime import dialling, wire
from model.realtime.address import ServerKind, server_address
from model.realtime.dialling import dial
from tests.model.realtime.fake_server import FROM_CLIENT, FakeRealtime, wait_until
from tests.model.realtime.remote_talks import talking

UPDATE = wire.session_update(input_rate=24_000)
Greeting = Callable[[FakeRealtime, ServerConnection], None]


def refusal(url: str, key: ServerKey | None = None) -> str:
    """Why connecting to ``url`` fails, in one line."""
    with pytest.raises(RemoteError) as raised:
        dial(server_address(url), key or ServerKey(), UPDATE, lambda stage: None)
    line = str(raised.value)
    assert "\n" not in line
    return line


def saying(*events: dict[str, Any] | str, code: int | None = None) -> Greeting:
    """A server that says ``events``, and closes with ``code``."""

    def greet(server: FakeRealtime, connection: ServerConnection) -> None:
        for event in events:
            connection.send(event if isinstance(event, str) else json.dumps(event))
        if code is not None:
            connection.close(code, "no more places")
        for _ in connection:
            pass

    return greet


@pytest.mark.parametrize(
    ("status", "key", "words"),
    [
        (401, ServerKey(remedy="set COVO_TOKEN"), "wants a key: set COVO_TOKEN (401: no)"),
        (401, ServerKey("ek_wrong", "COVO_TOKEN"), "refused the key in COVO_TOKEN"),
        (403, ServerKey("ek_wrong", "COVO_TOKEN"), "refused the key in COVO_TOKEN (403: no)"),
        (404, ServerKey(), "has no realtime server there"),
        (503, ServerKey(), "is full (503: no): try again in 7 s"),
        (500, ServerKey(), "answered 500: no"),
    ],
)
def test_a_refused_handshake_is_told(status: int, key: ServerKey, words: str) -> None:
    with FakeRealtime(status=status) as server:
        line = refusal(server.url, key)
    assert words in line
    assert "ek_wrong" not in line


@pytest.mark.parametrize(
    ("greeting", "words"),
    [
        (
            saying({"type": "error", "error": {"code": "model_load_error", "message": "no model"}}),
            "refused the session: no model",
        ),
        (
            saying(
                {
                    "type": "error",
                    "error": {"code": "session_limit", "message": "all used"},
                },
                code=1008,
            ),
            "refused the session: all used",
        ),
        (saying(code=1008), "closed the connection (1008 no more places)"),
        (saying("hello"), "sends no JSON: it speaks another protocol"),
        (saying("[1]"), "sends no JSON"),
        (
            saying({"type": "session.created", "session": {"type": "transcription"}}),
            "speaks transcription only",
        ),
        (saying({"type": "transcription.delta"}), "speaks transcription only"),
        (saying({"type": "response.audio.delta"}), "the beta of OpenAI's protocol"),
    ],
)
def test_what_comes_in_place_of_a_session_is_told(greeting: Greeting, words: str) -> None:
    with FakeRealtime(greeting=greeting) as server:
        assert words in refusal(server.url)


def test_an_update_that_is_refused_is_told() -> None:
    def refuse(server: FakeRealtime, connection: ServerConnection) -> None:
        server._tell(connection, "session.created")
        connection.recv()
        connection.send(json.dumps({"type": "error", "error": {"message": "no such voice"}}))
        connection.recv()

    with FakeRealtime(greeting=refuse) as server:
        assert "refused the session: no such voice" in refusal(server.url)


def test_nobody_listens() -> None:
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        port = unused.getsockname()[1]
        assert "is it running?" in refusal(f"ws://127.0.0.1:{port}")


def test_a_server_that_says_nothing_is_not_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(dialling, "CONNECT_S", 0.1)
    with FakeRealtime(greeting=saying()) as server:
        assert "no answer from" in refusal(server.url)
    with socket.create_server(("127.0.0.1", 0)) as mute:
        assert "no answer from" in refusal(f"ws://127.0.0.1:{mute.getsockname()[1]}")


def test_an_unconfirmed_session_is_used(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(dialling, "_CONFIRM_S", 0.05)
    with FakeRealtime(confirms=False) as server, talking(server) as user:
        wait_until(lambda: server.connections)
        server.turn("item_1", "hello")
        user.hear(0.1)
        assert user.states == ["thinking"]


def test_another_kind_of_server_is_told() -> None:
    def answer(listener: socket.socket) -> None:
        connection, _ = listener.accept()
        with connection:
            connection.recv(4096)
            connection.sendall(b"SSH-2.0-server\r\n")

    with socket.create_server(("127.0.0.1", 0)) as listener:
        threading.Thread(target=answer, args=(listener,), daemon=True).start()
        url = f"ws://127.0.0.1:{listener.getsockname()[1]}"
        assert "does not speak WebSocket there" in refusal(url)


@pytest.mark.skipif(shutil.which("openssl") is None, reason="needs openssl")
def test_certificates_are_checked_and_the_servers_own_can_be_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    key, certificate = tmp_path / "key.pem", tmp_path / "certificate.pem"
    subprocess.run(
        [
            *("openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "1"),
            *("-keyout", str(key), "-out", str(certificate), "-subj", "/CN=localhost"),
            *("-addext", "subjectAltName=IP:127.0.0.1"),
        ],
        check=True,
        capture_output=True,
    )
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate, key)
    with FakeRealtime(ssl=context) as server:
        line = refusal(server.url)
        assert "the certificate of 127.0.0.1" in line
        assert "SSL_CERT_FILE" in line
        monkeypatch.setenv("SSL_CERT_FILE", str(certificate))
        with talking(server) as user:
            assert "tiny" in user.engine.info.parts["server"]
    with FakeRealtime() as server:
        assert "no TLS with 127.0.0.1" in refusal(server.url.replace("ws://", "wss://"))


def test_a_place_in_the_queue_is_told_and_waited_for() -> None:
    stages: list[str] = []

    def queue(server: FakeRealtime, connection: ServerConnection) -> None:
        for place in (2, 1):
            connection.send(json.dumps({"type": "covo.queue", "position": place}))
        server.greeting = None
        server._talk(connection)

    with FakeRealtime(greeting=queue) as server:
        opened = dial(server_address(server.url), ServerKey(), UPDATE, stages.append)
        opened.connection.close()
    assert [stage.partition(": ")[2] for stage in stages] == [
        "number 2 in its queue",
        "number 1 in its queue",
    ]


@pytest.mark.parametrize(
    ("text", "model", "url", "kind"),
    [
        ("ws://h:8000", "", "ws://h:8000/v1/realtime?covo=1", ServerKind.OTHER),
        ("http://h:8000/v1/", "m", "ws://h:8000/v1/realtime?model=m&covo=1", ServerKind.OTHER),
        ("https://h/x/realtime?covo=0", "", "wss://h/x/realtime?covo=0", ServerKind.OTHER),
        (
            "wss://api.openai.com/v1/realtime?model=gpt-realtime-2.1",
            "",
            "wss://api.openai.com/v1/realtime?model=gpt-realtime-2.1",
            ServerKind.OPENAI,
        ),
        (
            "ws://h/v1/realtime?duplex=1",
            "",
            "ws://h/v1/realtime?duplex=1",
            ServerKind.VLLM_OMNI,
        ),
    ],
)
def test_addresses(text: str, model: str, url: str, kind: ServerKind) -> None:
    address = server_address(text, model)
    assert (address.url, address.kind) == (url, kind)


@pytest.mark.parametrize("text", ["", "localhost:8000", "ftp://h", "ws://"])
def test_what_is_no_address_is_told(text: str) -> None:
    with pytest.raises(RemoteError, match="is not the address of a realtime server"):
        server_address(text)


def test_sound_in_the_clear_is_known() -> None:
    clear = {"ws://far.example": True, "wss://far.example": False, "ws://localhost": False}
    assert {url: server_address(url).open for url in clear} == clear
    assert not server_address("ws://127.0.0.5:1").open


def test_all_that_is_sent_is_valid() -> None:
    for event in (
        wire.session_update(input_rate=24_000, voice="v", instructions="i", transcription="t"),
        wire.persona_update(voice="marin"),
        wire.persona_update(instructions="Be kind."),
        wire.turn_detection_update(None),
        wire.turn_detection_update({"type": "server_vad"}),
        wire.append(b"\0\0"),
        wire.text_item("user", "Hi."),
        wire.text_item("assistant", "Hello."),
        wire.truncate("item_1", 100),
        wire.cancel(),
        wire.plain("input_audio_buffer.commit"),
        wire.plain("input_audio_buffer.clear"),
        wire.plain("response.create"),
    ):
        FROM_CLIENT.validate_python(event, strict=True)
