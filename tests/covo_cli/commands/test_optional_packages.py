"""Commands that need packages of an extra say so in one line before they begin."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest
from typer.testing import CliRunner

from covo_cli.app import app
from covo_cli.errors import is_expected, message_for
from voices.installation import add_extra

EXTRAS = ("jiwer", "whisper_normalizer", "scipy", "matplotlib", "uvicorn")
TORCH = ("torch", "transformers", "safetensors")


@pytest.fixture
def base_install(monkeypatch: pytest.MonkeyPatch) -> None:
    """Hide the packages of the extras ``eval``, ``plot`` and ``serve``, also where they are
    loaded."""
    for name in EXTRAS:
        for loaded in [m for m in sys.modules if m.startswith(f"{name}.")]:
            monkeypatch.delitem(sys.modules, loaded)
        monkeypatch.setitem(sys.modules, name, None)


def refusal(monkeypatch: pytest.MonkeyPatch, folder: Path, command: str) -> str:
    """The one line that ``command`` ends with; it has done nothing before."""
    monkeypatch.chdir(folder)
    result = CliRunner().invoke(app, command.split())
    assert result.exit_code == 1
    assert result.exception is not None
    assert is_expected(result.exception), result.exception
    assert not result.output
    assert list(folder.iterdir()) == []
    return message_for(result.exception)


@pytest.mark.parametrize(
    ("command", "packages", "extra"),
    [
        ("bench conversation --questions 1", "jiwer, whisper-normalizer", "eval"),
        ("bench network --size tiny --plot x.png", "matplotlib", "plot"),
        ("eval duplex set --out run", "scipy, jiwer, whisper-normalizer", "eval"),
        ("eval report run", "scipy, jiwer, whisper-normalizer", "eval"),
        ("serve --engine lite", "uvicorn", "serve"),
        ("eval compare run run", "scipy, jiwer, whisper-normalizer", "eval"),
    ],
)
@pytest.mark.usefixtures("base_install")
def test_what_is_missing_is_said(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, command: str, packages: str, extra: str
) -> None:
    line = refusal(monkeypatch, tmp_path, command)
    assert line == f"covo: this needs {packages}: {add_extra(extra)}"


@pytest.mark.parametrize(
    "command", ["network --size tiny", "network --plot x.png", "duplex", "turns --model x"]
)
def test_a_network_without_torch_is_said(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, command: str
) -> None:
    for name in TORCH:
        monkeypatch.setitem(sys.modules, name, None)
    line = refusal(monkeypatch, tmp_path, f"bench {command}")
    assert f"needs {', '.join(TORCH)}: " in line
    assert add_extra("covo") in line
    assert "\n" not in line
