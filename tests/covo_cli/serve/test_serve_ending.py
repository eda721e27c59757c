"""How a server and its conversations end: told to stop, and with a conversation that does not."""

from __future__ import annotations

import asyncio

import httpx2 as httpx
import pytest
from websockets.exceptions import ConnectionClosed, InvalidStatus
from websockets.sync.client import ClientConnection

from covo_cli.serve import places as places_module
from covo_cli.serve.handshake import SECRET_S, Handshake
from covo_cli.serve.places import Places, ServerStopsError
from tests.covo_cli.serve.live_server import LiveServer, opened, receive, send, serving, until


def ending(socket: ClientConnection) -> tuple[int, str]:
    """Read to the end; return the code and the reason of the close."""
    try:
        while True:
            socket.recv(10)
    except ConnectionClosed as closed:
        assert closed.rcvd is not None
        return closed.rcvd.code, closed.rcvd.reason


def drain(server: LiveServer) -> None:
    server.loop.call_soon_threadsafe(server.places.drain)
    until(lambda: server.places.draining)


def test_a_server_that_stops_lets_replies_end_and_takes_nobody():
    with serving(2, words=["one", "two"], word_seconds=0.3) as server:
        speaking, idle, waiting = (opened(server) for _ in range(3))
        receive(idle, "session.created")
        send(speaking, "response.create")
        receive(speaking, "response.output_audio.delta")
        until(lambda: server.places.queued == 1)
        drain(server)
        assert ending(idle) == (1001, "the server stops")
        assert ending(waiting) == (1001, "the server stops")
        health = httpx.get(f"http://127.0.0.1:{server.port}/health")
        assert (health.status_code, health.json()["status"]) == (503, "draining")
        with pytest.raises(InvalidStatus) as refused:
            opened(server)
        assert refused.value.response.status_code == 503
        assert receive(speaking, "response.done")[-1]["response"]["status"] == "completed"
        assert ending(speaking) == (1001, "the server stops")
        until(lambda: not server.places.busy)
        assert "stopping" in server.app.figures.status


class SlowEngine:
    """An engine that is only made ready for the next conversation."""

    def start_over(self) -> None:
        pass


def test_a_place_is_closed_only_while_its_conversation_does_not_end(monkeypatch):
    monkeypatch.setattr(places_module, "CLOSE_S", 0.01)

    async def use() -> None:
        places, over = Places([SlowEngine()]), asyncio.Event()

        async def tell(position: int) -> None:
            pass

        places.leave(await places.enter(tell), over)
        await asyncio.sleep(0.05)
        assert (places.count, places.busy, places.full) == (0, 0, True)
        over.set()
        await asyncio.sleep(0.05)
        assert (places.count, places.busy, places.full) == (1, 0, False)
        await places.enter(tell)
        places.drain()
        with pytest.raises(ServerStopsError):
            await places.enter(tell)

    asyncio.run(use())


def test_a_session_that_cannot_begin_gives_its_place_back(monkeypatch):
    with serving(words=["one"], word_seconds=0.05) as server:
        with monkeypatch.context() as patched:
            patched.setattr("covo_cli.serve.connection.RealtimeSession", None)
            with opened(server) as socket:
                assert ending(socket)[0] == 1011
        until(lambda: not server.places.busy)
        with opened(server) as socket:
            receive(socket, "session.created")


def test_a_client_secret_is_valid_at_all_servers_with_the_token_and_not_for_long(monkeypatch):
    here, there, strange = Handshake("ek_one"), Handshake("ek_one"), Handshake("ek_two")

    def lets_in(shake: Handshake, secret: str) -> bool:
        headers = {"host": "localhost", "authorization": f"Bearer {secret}"}
        return shake.refusal(headers, "ws") is None

    secret, until_s = here.issue_secret()
    assert not lets_in(strange, secret)
    forged = secret[:-1] + ("A" if secret[-1] != "A" else "B")
    assert not lets_in(there, forged)
    assert lets_in(there, secret)
    assert not lets_in(there, secret)
    assert not lets_in(there, secret[:10] + "." + secret[10:])
    assert lets_in(here, secret)
    late, until_s = here.issue_secret()
    monkeypatch.setattr("time.time", lambda: until_s + 0.1)
    assert not lets_in(there, late)
    assert SECRET_S == 60.0
