"""How a server and its conversations end: told to stop, and with a conversation that does not."""

from __future__ import annotations

import asyncio
import base64
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from typing import Any

import httpx2 as httpx
import numpy as np
import pytest
from websockets.exceptions import ConnectionClosed, InvalidStatus
from websockets.sync.client import ClientConnection, connect

from covo_cli.conversation.consumer import Tick
from covo_cli.serve import places as places_module
from covo_cli.serve.handshake import SECRET_S, Handshake
from covo_cli.serve.places import Places, ServerStopsError
from covo_cli.serve.recording import SessionRecording, SessionRecordings
from covo_cli.sessions.audio import read_audio
from covo_cli.sessions.store import SessionState, SessionStore
from covo_cli.settings.settings import load_settings
from model.engine import EngineInfo
from tests import ROOT
from tests.covo_cli.serve.live_server import (
    BEARER,
    LiveServer,
    opened,
    receive,
    send,
    serving,
    until,
)

INFO = EngineInfo("made up", "", "", "cpu", {})
SILENCE = Tick(0, np.zeros(320, np.float32), np.zeros(480, np.float32), ())


def ending(socket: ClientConnection) -> tuple[int | None, str | None]:
    """Read to the end; return the code and the reason of the close."""
    with suppress(ConnectionClosed):
        while True:
            socket.recv(10)
    return socket.close_code, socket.close_reason


def notices(events: list[dict[str, Any]]) -> list[str]:
    return [event["text"] for event in events if event["type"] == "covo.notice"]


def drain(server: LiveServer) -> None:
    server.server.handle_exit(signal.SIGTERM, None)
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
        until(lambda: server.server.should_exit)
        assert not server.places.busy
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
            patched.setattr("covo_cli.serve.connection.Conversation", None)
            with opened(server) as socket:
                assert ending(socket)[0] == 1011
        until(lambda: not server.places.busy)
        with opened(server) as socket:
            receive(socket, "session.created")


def test_a_client_secret_is_valid_at_all_servers_with_the_token_and_not_for_long(monkeypatch):
    here, there, strange = Handshake("ek_one"), Handshake("ek_one"), Handshake("ek_two")

    def lets_in(shake: Handshake, secret: str) -> bool:
        headers = {"host": "localhost", "authorization": f"Bearer {secret}"}
        refused = shake.refusal(headers, "ws")
        if refused is None:
            shake.let_in(headers)
        return refused is None

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


@contextmanager
def recording_program(data: Path) -> Iterator[tuple[subprocess.Popen[str], str]]:
    """A server process that records into ``data``, and the address of its sessions."""
    environment = {**os.environ, "COVO_DATA_DIR": str(data), "COVO_CONFIG": str(data / "none.toml")}
    program = subprocess.Popen(
        [sys.executable, "-m", "tests.covo_cli.serve.made_up_server"],
        cwd=ROOT,
        env=environment,
        stderr=subprocess.PIPE,
        text=True,
    )
    try:
        assert program.stderr is not None
        told = ""
        while "realtime" not in told:
            told = program.stderr.readline()
            assert told, "it ended"
        yield program, re.search(r"ws://[^)]*", told)[0]
    finally:
        program.kill()
        program.wait()


@pytest.mark.skipif(sys.platform == "win32", reason="needs SIGKILL")
def test_a_killed_server_leaves_all_but_the_last_second_of_every_session(tmp_path):
    sound = base64.b64encode(np.full(12_000, 8000, "<i2").tobytes()).decode()
    with recording_program(tmp_path) as (program, address), ExitStack() as held:
        sockets = [
            held.enter_context(connect(f"{address}?covo=1", additional_headers=BEARER, proxy=None))
            for _ in range(2)
        ]
        for socket in sockets:
            told = receive(socket, "covo.notice")[-1]
            assert told["text"] == "The server records this conversation."
            for _ in range(4):  # 2 s, heard within half a second
                send(socket, "input_audio_buffer.append", audio=sound)
        for socket in sockets:  # so all 2 s were heard, and the answer
            receive(socket, "response.done")
        time.sleep(1.0)  # the last second may be lost, and what is older may not
        program.kill()
        program.wait()
    store = SessionStore(tmp_path / "sessions")
    assert len(store.names()) == 2
    for name in store.names():
        session = store.open(name)
        assert session.state is SessionState.RECOVERED
        user = np.concatenate(list(read_audio(store.root / name)))[:, 0]
        lost = 2.0 - np.count_nonzero(np.abs(user) > 7000) / 24_000
        assert lost < 1.0
        assert [entry.text for entry in session.transcript][:1] == ["hello"]


def test_sessions_are_recorded_only_if_that_is_asked_for(tmp_path, monkeypatch):
    monkeypatch.setenv("COVO_DATA_DIR", str(tmp_path))
    recordings = SessionRecordings(load_settings({}))
    for asked in (None, recordings):
        with serving(words=["one"], word_seconds=0.05, recordings=asked) as server:
            answer = httpx.get(f"{server.address}/models", headers=BEARER)
            assert answer.json()["data"][0]["recorded"] is (asked is not None)
            assert ("all recorded" in server.app.figures.status) is (asked is not None)
            with opened(server) as socket:
                for _ in range(2):  # the first counts as heard when the second begins
                    send(socket, "response.create")
                    receive(socket, "response.done")
            until(lambda: not server.places.busy)
    recordings.close()
    (session,) = SessionStore(recordings.folder).list()
    assert session.state is SessionState.COMPLETE
    assert session.info.engine["name"] == "fake"
    assert session.transcript[0].text.strip() == "one"


def test_what_is_recorded_is_complete_after_a_gentle_stop(tmp_path, monkeypatch):
    monkeypatch.setenv("COVO_DATA_DIR", str(tmp_path))
    recordings = SessionRecordings(load_settings({}))
    with serving(2, words=["one", "two"], word_seconds=0.2, recordings=recordings) as server:
        speaking, idle = opened(server), opened(server)
        receive(idle, "session.created")
        send(speaking, "response.create")
        receive(speaking, "response.output_audio.delta")
        drain(server)
        receive(speaking, "response.done")
        for socket in (speaking, idle):
            assert ending(socket) == (1001, "the server stops")
        until(lambda: server.server.should_exit)
    recordings.close()
    sessions = SessionStore(recordings.folder).list()
    assert [session.state for session in sessions] == 2 * [SessionState.COMPLETE]
    words = sorted(entry.text.split() for session in sessions for entry in session.transcript)
    assert words == [["one", "two"]]


def test_a_session_that_cannot_be_recorded_goes_on(tmp_path, monkeypatch, caplog):
    monkeypatch.setenv("COVO_DATA_DIR", str(tmp_path))
    recordings = SessionRecordings(load_settings({}))
    recordings.folder = tmp_path / "file" / "sessions"
    (tmp_path / "file").write_text("no folder")
    with serving(words=["one"], word_seconds=0.05, recordings=recordings) as server:
        with opened(server, "covo=1") as socket:
            send(socket, "response.create")
            told = receive(socket, "response.done")
        until(lambda: not server.places.busy)
    assert "a session is not recorded" in caplog.text
    assert notices(told) == ["From here on, the server does not record this conversation."]
    recordings.close()


def test_a_client_is_told_when_its_recording_begins_and_when_it_fails(tmp_path, monkeypatch):
    monkeypatch.setenv("COVO_DATA_DIR", str(tmp_path))
    recordings = SessionRecordings(load_settings({}))
    told: list[tuple[str, int]] = []
    store = SessionStore(recordings.folder)
    recording = SessionRecording(
        recordings, INFO, lambda level, text: told.append((level, len(store.names())))
    )
    recording.on_tick(SILENCE)
    assert told == [("info", 1)]  # and what is told is true
    recording.on_tick(SILENCE)
    monkeypatch.setattr("covo_cli.sessions.recorder.MOST_WAITING", 0)
    for _ in range(3):
        recording.on_tick(SILENCE)
    assert told == [("info", 1), ("warning", 1)]
    recording.finish()
    recordings.close()
