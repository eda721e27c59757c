"""Flags: generated from the settings, listed under headings, checked like the settings."""

from __future__ import annotations

import subprocess
import sys
from collections import Counter
from pathlib import Path

import pytest
from typer.testing import CliRunner

from covo_cli.app import app
from covo_cli.engines.engines import build_engine
from covo_cli.errors import SettingsError
from covo_cli.settings.settings import OPTIONS, load_settings

runner = CliRunner()


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COVO_CONFIG", str(tmp_path / "config.toml"))
    monkeypatch.setenv("COVO_DATA_DIR", str(tmp_path))


def test_the_help_of_chat_lists_each_flag_with_its_values() -> None:
    shown = " ".join(runner.invoke(app, ["chat", "--help"]).output.split())
    flags = Counter(option.flag for option in OPTIONS.values() if option.flag)
    assert {flag for flag, count in flags.items() if count > 1} == {"--model", "--voice"}
    for flag in flags:
        assert f"{flag} " in shown
    for heading in ("Engine:", "Audio:", "Session:", "Files instead of a sound card:", "Options:"):
        assert heading in shown
    assert "--engine <auto|covo|covo-fd|lite|chat-audio|realtime>" in shown
    assert "--silence <0.2 to 5>" in shown
    assert "--text-only / --no-text-only Reply in text only (Covo engine)." in shown


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("--silence", "99"), "--silence: turns.silence cannot be 99.0: it must be a number from"),
        (("--engine", "covoo"), "--engine: engine.name cannot be 'covoo': .*; did you mean covo"),
        (("--patience", "none"), "it must be eager or normal or patient"),
        (("--text-only", "--engine", "lite"), "--text-only has no effect with the engine lite"),
    ],
)
def test_a_bad_flag_is_one_error_that_names_it(words: tuple[str, ...], message: str) -> None:
    question = Path(__file__).parents[3] / "covo_cli" / "demo_audio" / "stop.flac"
    result = runner.invoke(app, ["chat", "--input", str(question), *words])
    with pytest.raises(SettingsError, match=message):
        raise result.exception or AssertionError(result.output)


def test_a_setting_that_must_be_heeded_is_refused_from_anywhere(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("COVO_COVO_TEXT_ONLY", "1")
    monkeypatch.setenv("COVO_TURNS_PATIENCE", "eager")  # only without effect with this engine
    with pytest.raises(SettingsError, match="COVO_COVO_TEXT_ONLY has no effect with the engine"):
        build_engine(load_settings({"engine.name": "covo-fd"}), real_time=False)


def test_help_imports_nothing_heavy() -> None:
    script = (
        "import sys\nfrom covo_cli.app import app\n"
        "try:\n    app(['--help'])\nexcept SystemExit:\n    pass\n"
        "sys.stderr.write(' '.join(sys.modules))"
    )
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=True
    )
    loaded = {name.split(".")[0] for name in done.stderr.split()}
    heavy = {"rich", "pydantic", "msgspec", "numpy", "tomlkit", "platformdirs", "blessed", "psutil"}
    assert not loaded & heavy


@pytest.mark.parametrize(
    ("language", "hint"), [("chinese", "zh"), ("zh-CN", "zh"), ("German", "de"), ("klingon", "")]
)
def test_a_language_that_nobody_recognises_is_refused(language: str, hint: str) -> None:
    with pytest.raises(SettingsError, match=f"hearing.language cannot be '{language}'") as raised:
        load_settings({"hearing.language": language, "engine.name": "lite"})
    assert str(raised.value).endswith(f"did you mean {hint}?" if hint else "or de")


def test_serve_is_told_a_server_with_its_model_and_voice_by_flags(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    pytest.importorskip("starlette", reason="needs covo[serve]")
    from covo_cli.serve import run_serve

    served = []
    monkeypatch.setattr(run_serve, "run_serve", lambda settings, _: served.append(settings) or 0)
    words = ("--engine", "chat-audio", "--url", "http://there:8091/v1", "--model", "Qwen/Omni")
    result = runner.invoke(app, ["serve", *words, "--voice", "Chelsie"])
    assert result.exit_code == 0, result.output
    remote = served[0].remote
    assert (remote.url, remote.model, remote.voice) == (words[3], "Qwen/Omni", "Chelsie")
