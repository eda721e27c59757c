"""``covo chat --chat-url auto`` and ``covo doctor`` with servers on this machine."""

from __future__ import annotations

import io
import sys
from pathlib import Path

import pytest
from typer.testing import CliRunner

from covo_cli.app import app
from covo_cli.doctor.check import Check, Status
from covo_cli.doctor.wiring import check_servers
from covo_cli.errors import SettingsError
from covo_cli.settings.settings import load_settings
from covo_cli.welcome import found_servers
from covo_cli.welcome.found_servers import with_found_server
from model.endpoints.local_servers import LocalServer
from tests import ROOT

OLLAMA = LocalServer("Ollama", "http://127.0.0.1:11434/v1", ("llama3.2:latest", "qwen3:8b"))
LLAMA = LocalServer("llama.cpp", "http://127.0.0.1:8080/v1", ("/models/a b.gguf",))


class Keyboard(io.StringIO):
    """A terminal on which the answer is typed."""

    def isatty(self) -> bool:
        return True


@pytest.fixture(autouse=True)
def _own_settings(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COVO_CONFIG", str(tmp_path / "config.toml"))
    find(monkeypatch, OLLAMA, LLAMA)


def find(monkeypatch: pytest.MonkeyPatch, *servers: LocalServer) -> None:
    monkeypatch.setattr(found_servers, "find_local_servers", lambda: servers)


def choose(
    monkeypatch: pytest.MonkeyPatch, typed: str, model: str = "", *, ask: bool = True
) -> tuple[str, str]:
    """Return the address and the model that are used then."""
    monkeypatch.setattr(sys, "stdin", Keyboard(typed))
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True)
    settings = load_settings({"chat.url": "auto", "chat.model": model or None})
    chat = with_found_server(settings, "lite", ask=ask).chat
    return chat.url, chat.model


def test_a_terminal_is_offered_what_was_found(monkeypatch, capsys) -> None:
    assert choose(monkeypatch, "\n") == (OLLAMA.url, "llama3.2:latest")
    offer = capsys.readouterr().err
    assert "  3  /models/a b.gguf  (llama.cpp, http://127.0.0.1:8080/v1)" in offer
    assert choose(monkeypatch, "3\n") == (LLAMA.url, "/models/a b.gguf")
    assert choose(monkeypatch, "7\n2\n") == (OLLAMA.url, "qwen3:8b")
    assert choose(monkeypatch, "0\n", "chat-small") == ("", "chat-small")
    assert choose(monkeypatch, "0\n", "qwen3:8b") == ("", "")  # a server's name, not a file's
    capsys.readouterr()
    assert choose(monkeypatch, "1\n", "qwen3:8b") == (OLLAMA.url, "qwen3:8b")
    assert "llama3.2" not in capsys.readouterr().err


def test_programs_use_nothing_unasked(monkeypatch) -> None:
    with pytest.raises(SettingsError) as refused:
        choose(monkeypatch, "1\n", ask=False)
    assert str(refused.value) == (
        "cannot ask which server to use; pass --chat-url http://127.0.0.1:11434/v1 "
        "--chat-model llama3.2:latest"
    )
    with pytest.raises(SettingsError, match=r"--chat-model qwen3:8b$"):
        choose(monkeypatch, "1\n", "qwen3:8b", ask=False)


def test_the_command_ends_with_one_line(monkeypatch) -> None:
    find(monkeypatch, LLAMA)
    monkeypatch.setenv("COVO_CHAT_URL", "auto")
    question = str(ROOT / "covo_cli" / "demo_audio" / "australia.flac")
    for command in (["chat", "--input", question], ["demo"]):
        result = CliRunner().invoke(app, command)
        assert isinstance(result.exception, SettingsError)
        assert str(result.exception).endswith("8080/v1 --chat-model '/models/a b.gguf'")


def test_without_a_server_the_ports_are_told(monkeypatch) -> None:
    find(monkeypatch)
    settings = load_settings({"chat.url": "auto"})
    with pytest.raises(SettingsError, match=r"Ollama \(port 11434\), llama.cpp \(port 8080\)"):
        with_found_server(settings, "lite", ask=True)
    named = load_settings({"chat.url": OLLAMA.url})
    assert with_found_server(named, "lite", ask=True) is named
    assert with_found_server(settings, "covo", ask=True) is settings


def test_the_doctor_names_a_model_and_the_command() -> None:
    (missing,) = check_servers((), wants_one=True)
    assert (missing.status, missing.fix) == (
        Status.FAILED,
        "start one, or name another address: covo config set chat.url ADDRESS",
    )
    assert list(check_servers((OLLAMA,))) == [
        Check(
            "Ollama",
            Status.OK,
            "llama3.2:latest and 1 more at http://127.0.0.1:11434/v1",
            "to talk with it: covo chat --chat-url http://127.0.0.1:11434/v1 "
            "--chat-model llama3.2:latest",
        )
    ]
