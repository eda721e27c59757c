"""The server on a real socket: who may connect, places and limits, and clients that misbehave."""

from __future__ import annotations

import base64
import contextlib
import json
import logging
import re
import socket as socket_module
import struct
import threading
import time
from collections import Counter
from collections.abc import Iterable

import httpx2 as httpx
import numpy as np
import pytest
from websockets.exceptions import ConnectionClosed, InvalidStatus
from websockets.sync.client import ClientConnection

from covo_cli.engines.engines import turn_settings
from covo_cli.serve import connection, prompt_http
from covo_cli.serve.connection import MOST_EARLY, MOST_EARLY_CHARACTERS, ServerLimits
from covo_cli.serve.handshake import Handshake
from covo_cli.serve.realtime.session import RealtimeSession
from covo_cli.serve.run_serve import servable
from covo_cli.settings.settings import load_settings
from tests.covo_cli.serve.live_server import (
    BEARER,
    TOKEN,
    opened,
    receive,
    send,
    serving,
    until,
)
from tests.covo_cli.serve.wire_talk import Orders, text_item, valid


@pytest.fixture(scope="module")
def server():
    with serving(words=["one", "two"], word_seconds=0.2) as running:
        yield running


def flood(socket: ClientConnection, messages: Iterable[str], *, reads: bool = True) -> None:
    """Send ``messages`` and wait for the end."""
    for message in messages:
        socket.send(message)
    while reads:
        socket.recv(10)


def test_a_typed_question_over_a_socket(server):
    orders = Orders()
    with opened(server) as socket:
        send(socket, "conversation.item.create", item=text_item("hi"))
        send(socket, "response.create")
        events = receive(socket, "response.done")
    for event in events:
        valid(event)
        orders.take(event)
    assert events[0]["type"] == "session.created"
    assert events[0]["session"]["model"] == "fake"
    assert events[-1]["response"]["status"] == "completed"


@pytest.mark.parametrize(
    "headers",
    [
        *({}, {"Authorization": "Bearer wrong"}, {"Authorization": f"Basic {TOKEN}"}),
        {"Authorization": "Bearer schlüssel"},
    ],
)
def test_a_wrong_token_is_refused_before_the_socket_is_accepted(server, headers):
    with pytest.raises(InvalidStatus) as refused:
        opened(server, additional_headers=headers)
    assert refused.value.response.status_code == 401


def test_a_token_in_the_address_counts_for_nothing(server):
    with pytest.raises(InvalidStatus):
        opened(server, f"token={TOKEN}", additional_headers={})


def test_browsers_send_the_token_as_a_subprotocol(server):
    protocols = ["realtime", f"openai-insecure-api-key.{TOKEN}"]
    with opened(server, additional_headers={}, subprotocols=protocols) as socket:
        assert socket.subprotocol == "realtime"


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({"Origin": "https://evil.example"}, 403),
        ({"Origin": "null"}, 403),
        ({"Host": "evil.example"}, 403),
        ({}, 200),
    ],
)
def test_only_pages_and_names_of_its_own(server, headers, status):
    answer = httpx.get(f"{server.address}/models", headers=BEARER | headers)
    assert answer.status_code == status


def test_its_own_origin_is_allowed():
    shake = Handshake(TOKEN, hosts=("box",), origins=("https://page.example",))

    def allowed(host: str, origin: str, scheme: str = "ws") -> bool:
        headers = {"host": host, "origin": origin, "authorization": f"Bearer {TOKEN}"}
        return shake.refusal(headers, scheme) is None

    assert allowed("localhost:8765", "http://localhost:8765")
    assert allowed("box", "https://box", "wss")
    assert allowed("127.0.0.1:1", "https://page.example")
    assert not allowed("localhost:8765", "http://localhost:8766")
    assert not allowed("localhost:8765", "https://localhost:8765")
    assert not allowed("localhost.evil.example", "http://localhost.evil.example")


def test_models_and_health(server):
    assert httpx.get(f"{server.address}/models").status_code == 401
    (model,) = httpx.get(f"{server.address}/models", headers=BEARER).json()["data"]
    assert (model["id"], model["lacks"]) == ("fake", ["nothing"])
    health = httpx.get(f"http://127.0.0.1:{server.port}/health").json()
    assert health["status"] == "ok"


def test_a_client_secret_is_valid_once(server):
    made = httpx.post(f"{server.address}/realtime/client_secrets", headers=BEARER).json()
    key = ["realtime", f"openai-insecure-api-key.{made['value']}"]  # as a browser sends it
    assert made["value"].startswith("ek_")
    opened(server, additional_headers={}, subprotocols=key).close()
    with pytest.raises(InvalidStatus):
        opened(server, additional_headers={}, subprotocols=key)


def test_a_full_server_leaves_a_client_secret_valid(server):
    until(lambda: not server.places.busy)
    made = httpx.post(f"{server.address}/realtime/client_secrets", headers=BEARER).json()
    key = {"Authorization": f"Bearer {made['value']}"}
    sockets = [opened(server) for _ in range(5)]
    receive(sockets[0], "session.created")
    until(lambda: server.places.queued == 4)
    with pytest.raises(InvalidStatus) as refused:
        opened(server, additional_headers=key)
    assert refused.value.response.status_code == 503
    for socket in sockets:
        socket.close()
    until(lambda: not (server.places.busy or server.places.queued))
    opened(server, additional_headers=key).close()


def test_a_client_secret_carries_its_session(server):
    asked = {
        "type": "realtime",
        "instructions": "Be a pirate.",
        "audio": {"output": {"speed": 1.2}},
    }
    address = f"{server.address}/realtime/client_secrets"
    made = httpx.post(address, headers=BEARER, json={"session": asked}).json()
    assert made["session"]["instructions"] == "Be a pirate."
    with opened(server, additional_headers={"Authorization": f"Bearer {made['value']}"}) as socket:
        session = receive(socket, "session.created")[-1]["session"]
        assert session["instructions"] == "Be a pirate."
        assert session["audio"]["output"]["speed"] == 1.2


@pytest.mark.parametrize(
    "body",
    [
        *(b"[]", b"{", b'{"session": 1}', b'{"session": {"type": "transcription"}}'),
        json.dumps({"session": {"instructions": "".join(map(chr, range(300, 9000)))}}).encode(),
    ],
)
def test_a_secret_for_what_is_no_session_is_refused(server, body):
    address = f"{server.address}/realtime/client_secrets"
    refused = httpx.post(address, headers=BEARER, content=body)
    assert refused.status_code == 400
    assert refused.json()["error"]["type"] == "invalid_request_error"


def test_a_call_by_webrtc_is_refused_with_a_word(server):
    refused = httpx.post(f"{server.address}/realtime/calls", headers=BEARER, content=b"v=0")
    assert refused.status_code == 501
    assert "WebSocket" in refused.json()["error"]["message"]


def test_a_connection_without_a_request_is_dropped(server, monkeypatch):
    def connected(data: bytes = b"") -> socket_module.socket:
        made = socket_module.create_connection(("127.0.0.1", server.port), timeout=5)
        made.sendall(data)
        return made

    def dropped(made: socket_module.socket) -> bool:
        with contextlib.suppress(ConnectionResetError):
            while made.recv(1000):
                pass  # the rest of an answer
        return True

    until(lambda: not server.places.busy)
    asked = b"GET /health HTTP/1.1\r\nHost: localhost\r\n\r\n"
    with monkeypatch.context() as patched:
        patched.setattr(prompt_http, "REQUEST_S", 0.1)
        with opened(server) as session:
            receive(session, "session.created")
            half, again, nothing = connected(asked[:20]), connected(asked), connected()
            assert again.recv(1000).startswith(b"HTTP/1.1 200")
            again.sendall(asked[:20])
            for made in (half, nothing, again):
                assert dropped(made)
                made.close()
            send(session, "session.update", session={})
            receive(session, "session.updated")  # it has sent a request: it stays
    monkeypatch.setattr(prompt_http, "MOST_SILENT", 3)
    silent = []
    for _ in range(4):
        silent.append(connected(asked[:20]))
        httpx.get(f"http://127.0.0.1:{server.port}/health")  # the server has seen it
    assert dropped(silent[0])
    silent[-1].sendall(asked[20:])
    assert silent[-1].recv(1000).startswith(b"HTTP/1.1 200")
    for made in silent:
        made.close()


def test_places_are_taken_in_turn_and_then_refused(server):
    until(lambda: not server.places.busy)
    sockets = [opened(server, "covo=1") for _ in range(5)]
    assert receive(sockets[0], "session.created")
    until(lambda: server.places.queued == 4)
    with pytest.raises(InvalidStatus) as refused:
        opened(server)
    assert refused.value.response.status_code == 503
    assert refused.value.response.headers["Retry-After"]
    assert receive(sockets[1], "covo.queue")[-1]["position"] == 1
    assert receive(sockets[2], "covo.queue")[-1]["position"] == 2
    # What a waiting client asks for is kept; one that leaves is forgotten.
    send(sockets[2], "conversation.item.create", item=text_item("hi", id="early"))
    sockets[1].close()
    sockets[0].close()
    events = receive(sockets[2], "conversation.item.done")
    assert events[-1]["item"]["id"] == "early"
    for socket in sockets[2:]:
        socket.close()
    until(lambda: not server.places.busy)


def test_a_waiting_client_that_sends_too_much_is_dropped(server):
    until(lambda: not server.places.busy)
    with opened(server) as first, opened(server) as second:
        receive(first, "session.created")
        for _ in range(MOST_EARLY + 1):
            send(second, "session.update", session={})
        with pytest.raises(ConnectionClosed) as closed:
            second.recv(10)
        assert closed.value.rcvd.code == 1008
        with opened(server) as third:
            for _ in range(2):
                third.send("x" * (MOST_EARLY_CHARACTERS // 2 + 1))
            with pytest.raises(ConnectionClosed) as closed:
                third.recv(10)
        assert closed.value.rcvd.code == 1008


def test_nothing_of_one_session_is_in_the_next(server):
    until(lambda: not server.places.busy)
    with opened(server) as socket:
        send(socket, "session.update", session={"instructions": "Be a pirate."})
        send(socket, "conversation.item.create", item=text_item("my name is Ann"))
        send(socket, "response.create")
        receive(socket, "response.done")
        assert server.fakes[0].persona == "Be a pirate."
    until(lambda: not server.places.busy)
    assert server.fakes[0].persona == ""
    with opened(server) as socket:
        send(socket, "response.create", response={"instructions": "go"})
        receive(socket, "response.done")
        until(lambda: server.fakes[0].history)
        assert [asked for asked, _ in server.fakes[0].history] == ["go"]


def test_a_client_that_vanishes_gives_its_place_back(server):
    def vanish() -> None:
        socket = opened(server)
        send(socket, "response.create")
        linger = struct.pack("ii", 1, 0)
        socket.socket.setsockopt(1, 13, linger)  # SOL_SOCKET, SO_LINGER: a reset
        socket.close_timeout = 0
        socket.socket.close()
        until(lambda: not server.places.busy)

    def threads() -> Counter[str]:
        """Their kinds, but for asyncio's pool, which grows to a limit and stays, and for the
        client's, which may not notice that its socket was closed behind its back."""
        kinds = Counter(re.sub(r"\d+", "", thread.name) for thread in threading.enumerate())
        others = re.compile(r"asyncio_|.*\((recv_events|keepalive)\)")
        return Counter({kind: n for kind, n in kinds.items() if not others.match(kind)})

    until(lambda: not server.places.busy)
    before = threads()
    for _ in range(20):
        vanish()
    # Each of the engine's lanes begins a thread with its first work, and keeps it.
    until(lambda: all(n <= max(1, before[kind]) for kind, n in threads().items()))
    assert server.places.count == 1


def test_a_message_that_is_too_long_closes_the_socket(server):
    with opened(server, max_size=None) as socket:
        with pytest.raises(ConnectionClosed) as closed:
            flood(socket, ["x" * (20 * 1024 * 1024 + 1)])
        assert closed.value.rcvd is None or closed.value.rcvd.code == 1009


def test_bytes_are_read_as_text(server):
    with opened(server) as socket:
        receive(socket, "session.created")
        socket.send(b"\x00\x01")
        assert receive(socket, "error")[-1]["error"]["code"] == "invalid_json"
        socket.send(b'{"type": "session.update", "session": {}}')  # as some clients send text
        receive(socket, "session.updated")


@pytest.mark.parametrize(
    ("limits", "reason"),
    [
        (ServerLimits(session=0.3), "longest time"),
        (ServerLimits(idle=0.3), "nothing was heard"),
    ],
)
def test_a_session_ends_by_itself(limits, reason):
    with serving(limits=limits) as server, opened(server) as socket:
        receive(socket, "session.created")
        with pytest.raises(ConnectionClosed) as closed:
            socket.recv(10)
    assert closed.value.rcvd.code == 1000
    assert reason in closed.value.rcvd.reason


def test_a_client_that_never_reads_is_dropped():
    with serving(limits=ServerLimits(send=0.3, events=10_000.0)) as server:
        socket = opened(server, max_queue=1)
        until(lambda: server.places.busy == 1)
        item = text_item("x" * 200_000)
        items = [item | {"id": f"item_{n}"} for n in range(500)]
        kind = "conversation.item.create"
        with pytest.raises((ConnectionClosed, TimeoutError)):
            flood(socket, [json.dumps({"type": kind, "item": item}) for item in items], reads=False)
        until(lambda: not server.places.busy)
        socket.close_timeout = 0.1
        socket.close()


def test_a_flood_of_events_waits_and_another_session_notices_nothing():
    with serving(2, ServerLimits(events=50.0)) as server:
        flood, other = opened(server, close_timeout=0.1), opened(server)
        receive(flood, "session.created")
        receive(other, "session.created")

        def pour() -> None:
            for _ in range(150):
                send(flood, "session.update", session={})

        pouring = threading.Thread(target=pour)
        pouring.start()
        send(other, "response.create")
        assert receive(other, "response.done")[-1]["response"]["status"] == "completed"
        pouring.join()
        flood.close()
        other.close()


def test_no_client_rests_for_the_time_that_others_kept_the_processor(server, monkeypatch):
    until(lambda: not server.places.busy)
    take = RealtimeSession.take

    def delayed(self, text):
        time.sleep(0.1)  # as if another program ran
        take(self, text)

    monkeypatch.setattr(RealtimeSession, "take", delayed)
    # If that delay counted, the client would rest for 30 s. A message itself may cost some
    # milliseconds by chance, which must not count here.
    monkeypatch.setattr(connection, "_LONG_S", 0.05)
    monkeypatch.setattr(connection, "_REST", 300.0)
    with opened(server) as socket:
        for _ in range(2):
            send(socket, "session.update", session={})
            receive(socket, "session.updated")


def test_nothing_hums_where_only_responses_have_sound():
    humming = load_settings({"turns.backchannels": True})
    assert turn_settings(humming).humming is not None
    assert turn_settings(servable(humming)).humming is None


def test_no_words_sound_or_token_are_logged(server, caplog):
    caplog.set_level(logging.DEBUG)
    with opened(server) as socket:
        sound = base64.b64encode(np.full(4800, 7777, "<i2").tobytes()).decode()
        send(socket, "input_audio_buffer.append", audio=sound)
        send(socket, "conversation.item.create", item=text_item("a very secret word"))
        send(socket, "response.create")
        receive(socket, "response.done")
    until(lambda: not server.places.busy)
    logged = "\n".join(r.getMessage() for r in caplog.records if r.name.startswith("covo_cli"))
    assert "session" in logged
    for secret in (TOKEN, sound[:40], "secret word"):
        assert secret not in logged
