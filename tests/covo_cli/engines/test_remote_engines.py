"""Engines that are served elsewhere, from the command line."""

from __future__ import annotations

import base64
import json
import threading
from importlib import resources
from pathlib import Path

import numpy as np
import pytest
from typer.testing import CliRunner

from covo_cli.app import app
from covo_cli.doctor import wiring
from covo_cli.doctor.check import Status
from covo_cli.engines.engines import EngineChoice, build_engine, voices_to_choose
from covo_cli.errors import SettingsError
from covo_cli.settings.settings import load_settings, models_dir
from tests.fakes.openai import FakeEndpoint
from tests.model.realtime.fake_server import FakeRealtime, wait_until

QUESTION = Path(str(resources.files("covo_cli"))) / "demo_audio" / "australia.flac"


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A home of one's own, with the weights that are already here."""
    models = models_dir(load_settings())
    monkeypatch.setenv("COVO_DATA_DIR", str(tmp_path))
    monkeypatch.setenv("COVO_CONFIG", str(tmp_path / "config.toml"))
    monkeypatch.setenv("COVO_MODELS_DIR", str(models))
    monkeypatch.delenv("COVO_TOKEN", raising=False)


def flags(**more: str) -> dict[str, str]:
    return {"engine.name": "chat-audio", **{f"remote.{key}": text for key, text in more.items()}}


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ({}, "needs the server's address: --url http"),
        ({"url": "ws://localhost"}, "is not the address of a chat endpoint"),
        ({"url": "http://localhost"}, "name one with --model"),
        ({"url": "http://localhost", "model": "m", "token_file": "/none"}, "cannot be read"),
    ],
)
def test_what_is_missing_is_told_by_chat_and_doctor(given: dict[str, str], words: str) -> None:
    settings = load_settings(flags(**given))
    with pytest.raises(Exception, match=words):
        build_engine(settings, real_time=True)
    check = wiring.check_remote(settings)
    assert check.status is Status.FAILED
    assert words in check.detail


def test_so_it_is_for_a_realtime_server() -> None:
    words = "needs the server's address: --url ws"
    settings = load_settings({"engine.name": "realtime"})
    with pytest.raises(SettingsError, match=words):
        build_engine(settings, real_time=True)
    assert words in wiring.check_remote(settings).detail


def test_a_realtime_server_is_told_of_and_lives_in_real_time() -> None:
    settings = load_settings({**flags(url="ws://there:8000"), "engine.name": "realtime"})
    detail = "your microphone goes to there:8000, in the clear"
    assert detail in wiring.check_remote(settings).detail
    with pytest.raises(SettingsError, match="drop --pace fast"):
        build_engine(settings, real_time=False)


def test_doctor_tells_where_the_sound_goes() -> None:
    check = wiring.check_remote(load_settings(flags(url="http://there:8091", model="m")))
    assert check.status is Status.OK
    assert "goes to there" in check.detail


def test_flags_of_a_server_need_its_engine() -> None:
    settings = load_settings({**flags(url="http://there"), "engine.name": "lite"})
    with pytest.raises(SettingsError, match="--url has no effect with the engine lite"):
        build_engine(settings, real_time=True)


def test_the_voices_are_openais_at_openai_and_else_the_chosen_one() -> None:
    choice = EngineChoice("chat-audio", "as set")
    there = load_settings(flags(url="http://there", voice="ethan"))
    assert list(voices_to_choose(there, choice)) == ["ethan"]
    openai = load_settings(flags(url="https://api.openai.com/v1", voice="alloy"))
    assert set(voices_to_choose(openai, choice)) >= {"alloy", "marin"}


@pytest.mark.weights
def test_a_recorded_conversation_with_a_realtime_server_is_kept(tmp_path: Path) -> None:
    def answer(server: FakeRealtime) -> None:
        wait_until(lambda: len(server.sound) > 24_000)
        server.turn("item_1", "what is the capital of Australia", end_ms=400)
        server.respond("resp_1", "It is Canberra.", 0.5)

    with FakeRealtime(strict=False) as server:
        answering = threading.Thread(target=answer, args=(server,))
        answering.start()
        command = ("chat", "--engine", "realtime", "--url", server.url, "--input", str(QUESTION))
        result = CliRunner().invoke(app, [*command, "--json"])
        answering.join()
    assert result.exit_code == 0, result.output
    assert "your microphone goes to 127.0.0.1:" in " ".join(result.output.split())
    told = [json.loads(line) for line in result.stdout.splitlines() if line.startswith("{")]
    finished = [event["text"] for event in told if event["event"] == "ReplyFinished"]
    assert finished == ["It is Canberra."]
    shown = CliRunner().invoke(app, ["sessions", "show", "last"]).output
    assert "what is the capital of Australia" in shown
    assert "It is Canberra." in shown


@pytest.mark.weights
def test_a_recorded_question_is_answered_in_speech() -> None:
    sound = base64.b64encode((np.full(24_000, 8_000)).astype("<i2").tobytes()).decode()
    deltas = [{"audio": {"transcript": "It is Canberra."}}, {"audio": {"data": sound}}]
    events = [{"choices": [{"index": 0, "delta": delta}]} for delta in deltas]
    with FakeEndpoint(events) as endpoint:
        server = ("--engine", "chat-audio", "--url", endpoint.url, "--model", "tiny")
        files = ("--input", str(QUESTION), "--pace", "fast", "--no-record", "--json")
        result = CliRunner().invoke(app, ["chat", *server, *files])
    assert result.exit_code == 0, result.output
    told = [json.loads(line) for line in result.stdout.splitlines() if line.startswith("{")]
    assert any("capital" in event.get("text", "") for event in told)
    assert [event["text"] for event in told if event["event"] == "ReplyFinished"] == [
        "It is Canberra."
    ]
