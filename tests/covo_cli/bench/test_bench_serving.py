"""``covo bench serve``: what callers note, and a whole short run. Times are nobody's test."""

from __future__ import annotations

import asyncio
import json
import threading
import time

import numpy as np
import pytest
from typer.testing import CliRunner

from covo_cli.app import app
from covo_cli.bench.serving import ServeBench, _flat, _Watched, misbehaving
from covo_cli.bench.serving.caller import PIECE, Caller, CallerFigures, as_pieces
from covo_cli.bench.serving.served import _fill_pool
from covo_cli.serve import prompt_http
from covo_cli.serve.realtime.speaker import START_S
from tests.covo_cli.serve.live_server import TOKEN, serving, until


def test_sound_is_cut_into_whole_pieces():
    (first, last) = as_pieces(np.full(PIECE + 1, 0.5, np.float32))
    assert len(first) == len(last)
    assert json.loads(first)["type"] == "input_audio_buffer.append"


def test_a_gap_is_sound_that_comes_after_all_before_it_was_played():
    figures = CallerFigures()
    caller = Caller([], figures, np.random.default_rng(1))
    caller._play(10.0, "resp_1", 24_000)
    caller._play(10.9, "resp_1", 24_000)
    assert figures.gaps == 0
    caller._play(12.0 + START_S + 0.01, "resp_1", 24_000)
    assert figures.gaps == 1
    caller._play(20.0, "resp_2", 24_000)  # a new reply follows no gap
    assert figures.gaps == 1


def test_what_the_wire_adds_begins_when_the_heard_sound_was_sent():
    figures = CallerFigures()
    caller = Caller([], figures, np.random.default_rng(1))
    caller._sent = [100.0 + n * 0.04 for n in range(100)]
    caller._begun["resp_1"] = 102.05
    # Heard up to 2.1 s when playback began, 0.1 s after the first sound: piece 50, sent at 102.0.
    event = {"audio_ms": 2110, "parts": {"play": 0.1}, "total": 0.8, "response_id": "resp_1"}
    caller._note(event)
    assert figures.added == [pytest.approx(0.05)]


def test_memory_that_grows_is_seen_and_a_short_run_says_nothing():
    bench = ServeBench("scripted", 1, 10.0, 0)
    minutes = [float(n) for n in range(1, 11)]
    growing = _Watched([100.0 + n for n in range(10)], minutes)
    assert _flat(bench, growing)["rise"] == pytest.approx(7 / 105.5, abs=1e-3)
    assert _flat(bench, _Watched([100.0] * 3, minutes[:3]))["rise"] is None


def test_every_client_that_misbehaves_is_dealt_with_and_counted(monkeypatch):
    async def gets_away(*_: object) -> bool:
        return False

    kinds = {**misbehaving.KINDS, "gets away": gets_away}
    del kinds["falls silent"]  # two pings
    monkeypatch.setattr(misbehaving, "KINDS", kinds)
    monkeypatch.setattr(misbehaving, "_FLOOD_S", 0.3)
    monkeypatch.setattr(prompt_http, "REQUEST_S", 0.2)
    with serving(5) as server:
        found = misbehaving.misbehave(server.port, TOKEN, 0.0, 1)
        until(lambda: not server.places.busy)
        assert server.places.count == 5
    assert {kind: clients.clients for kind, clients in found.items()} == dict.fromkeys(kinds, 1)
    assert [kind for kind, clients in found.items() if clients.not_dealt_with] == ["gets away"]


def test_threads_that_make_engines_ready_are_there_before_any_are_counted():
    async def work() -> tuple[int, int]:
        await _fill_pool(3)
        before = threading.active_count()
        await asyncio.gather(*(asyncio.to_thread(time.sleep, 0.01) for _ in range(9)))
        return before, threading.active_count()

    before, after = asyncio.run(work())
    assert before == after


def test_a_short_run(tmp_path):
    file = tmp_path / "serve.json"
    asked = ["--minutes", "0.2", "--sessions", "2", "--vanishing", "20", "--json", str(file)]
    ran = CliRunner().invoke(app, ["bench", "serve", *asked])
    assert ran.exit_code == 0, ran.output
    figures = json.loads(file.read_text())
    assert figures["asked"] >= 2
    assert len(figures["by_interval"]["memory_mb"]) >= 10
    assert sum(figures["vanished"].values()) == 20
    assert figures["places_lost"] == 0
    met = {goal["goal"]: goal["met"] for goal in figures["goals"]}
    assert met["left behind by clients"], figures["threads_left"]
    assert met["sessions that broke off, and errors"]
