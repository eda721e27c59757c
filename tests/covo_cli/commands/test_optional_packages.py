"""Commands that need packages of an extra say so before they begin."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from covo_cli.__main__ import main

EXTRAS = ("jiwer", "whisper_normalizer", "scipy", "matplotlib")
TORCH = ("torch", "transformers", "safetensors")


@pytest.fixture
def base_install(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Hide the packages of the extras ``eval`` and ``plot``, also where they are loaded."""
    for name in EXTRAS:
        for loaded in [m for m in sys.modules if m.startswith(f"{name}.")]:
            monkeypatch.delitem(sys.modules, loaded)
        monkeypatch.setitem(sys.modules, name, None)
    monkeypatch.chdir(tmp_path)


def outcome(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], *words: str
) -> tuple[object, str]:
    monkeypatch.setattr(sys, "argv", ["covo", *words])
    with pytest.raises(SystemExit) as ended:
        main()
    captured = capsys.readouterr()
    assert not captured.out
    return ended.value.code, captured.err


@pytest.mark.parametrize(
    ("command", "packages", "extra"),
    [
        ("bench conversation --questions 1", "jiwer, whisper-normalizer", "eval"),
        ("bench network --size tiny --plot x.png", "matplotlib", "plot"),
        ("eval duplex set --out run", "scipy, jiwer, whisper-normalizer", "eval"),
        ("eval report run", "scipy, jiwer, whisper-normalizer", "eval"),
        ("eval compare run run", "scipy, jiwer, whisper-normalizer", "eval"),
    ],
)
@pytest.mark.usefixtures("base_install")
def test_what_is_missing_is_said_in_one_line(
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    tmp_path: Path,
    command: str,
    packages: str,
    extra: str,
) -> None:
    code, err = outcome(monkeypatch, capsys, *command.split())
    assert code == 1
    assert err == f"covo: this needs {packages}: pip install 'covo[{extra}]'\n"
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    "command", ["network --size tiny", "network --plot x.png", "duplex", "turns --model x"]
)
def test_a_network_without_torch_is_said_in_one_line(
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    tmp_path: Path,
    command: str,
) -> None:
    for name in TORCH:
        monkeypatch.setitem(sys.modules, name, None)
    monkeypatch.chdir(tmp_path)
    code, err = outcome(monkeypatch, capsys, "bench", *command.split())
    assert code == 1
    assert f"needs {', '.join(TORCH)}: " in err
    assert "pip install 'covo[covo]'" in err
    assert err.count("\n") == 1
