"""``covo config`` as it is typed."""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path

import pytest
from typer.testing import CliRunner

from covo_cli.app import app
from covo_cli.errors import SettingsError
from covo_cli.settings.settings import OPTIONS

runner = CliRunner()


@pytest.fixture
def file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    for variable in [v for v in os.environ if v.startswith("COVO_")]:
        monkeypatch.delenv(variable)
    path = tmp_path / "config.toml"
    monkeypatch.setenv("COVO_CONFIG", str(path))
    monkeypatch.setenv("COLUMNS", "160")
    return path


def editor(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, *versions: str) -> Path:
    """An $EDITOR that writes the next of ``versions`` each time, and keeps what it was shown."""
    seen = tmp_path / "seen"
    seen.mkdir()
    script = tmp_path / "editor.py"
    script.write_text(
        "import os, pathlib, sys\n"
        f"seen, versions = pathlib.Path({str(seen)!r}), {versions!r}\n"
        "count = len(list(seen.iterdir()))\n"
        "file = pathlib.Path(sys.argv[1])\n"
        "(seen / str(count)).write_text(file.read_text())\n"
        "file.write_text(versions[count])\n"
        "os.utime(file, (count + 1, count + 1))\n"
    )
    monkeypatch.setenv("VISUAL", f"{sys.executable} {script}")
    return seen


def test_show_tells_where_each_value_comes_from(
    file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file.write_text("[voice]\nname = 'emma'\n")
    monkeypatch.setenv("COVO_TURNS_SILENCE", "1.2")
    shown = runner.invoke(app, ["config", "show"]).output
    lines = {line.split()[0]: line for line in shown.splitlines() if line.split()}
    assert "emma" in lines["voice.name"]
    assert "file, line 2" in lines["voice.name"]
    assert "COVO_TURNS_SILENCE" in lines["turns.silence"]
    assert "default" in lines["audio.vad"]
    assert str(file) in shown


def test_show_as_json_has_every_option(file: Path) -> None:
    file.write_text("[voice]\nname = 'emma'\n")
    shown = json.loads(runner.invoke(app, ["config", "show", "--json"]).output)
    assert shown["file"] == str(file)
    assert set(shown["settings"]) == set(OPTIONS)
    assert shown["settings"]["voice.name"]["value"] == "emma"
    assert shown["settings"]["voice.name"]["from"] == f"{file}, line 2"


def test_path_works_with_a_broken_file_and_show_says_what_is_broken(file: Path) -> None:
    file.write_text("[voice\n")
    assert runner.invoke(app, ["config", "path"]).output.strip() == str(file)
    result = runner.invoke(app, ["config", "show"])
    assert isinstance(result.exception, SettingsError)


def test_set_and_unset(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert runner.invoke(app, ["config", "set", "turns.silence", "0.9"]).exit_code == 0
    assert runner.invoke(app, ["config", "set", "session.record", "off"]).exit_code == 0
    assert file.read_text() == "[turns]\nsilence = 0.9\n\n[session]\nrecord = false\n"
    result = runner.invoke(app, ["config", "set", "turns.silence", "-1"])
    assert isinstance(result.exception, SettingsError)
    monkeypatch.setenv("COVO_TURNS_SILENCE", "2")
    result = runner.invoke(app, ["config", "set", "turns.silence", "1.0"])
    assert "COVO_TURNS_SILENCE is set and overrides it" in result.output
    assert "removed" in runner.invoke(app, ["config", "unset", "turns.silence"]).output
    assert "was not" in runner.invoke(app, ["config", "unset", "turns.silence"]).output


def test_edit_keeps_what_is_valid(
    file: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    file.write_text("[voice]\nname = 'emma'\n")
    seen = editor(monkeypatch, tmp_path, "[voice]\nname = 'george'\n")
    result = runner.invoke(app, ["config", "edit"])
    assert result.exit_code == 0, result.output
    assert file.read_text() == "[voice]\nname = 'george'\n"
    assert (seen / "0").read_text() == "[voice]\nname = 'emma'\n"


def test_edit_offers_to_keep_the_old_file(
    file: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    file.write_text("[voice]\nname = 'emma'\n")
    editor(monkeypatch, tmp_path, *["[voice]\nname = 7\n"] * 2)
    result = runner.invoke(app, ["config", "edit"], input="n\n")
    assert result.exit_code == 1
    assert "line 2: voice.name cannot be 7" in result.output
    unanswered = runner.invoke(app, ["config", "edit"]).exception
    assert str(unanswered) == f"cannot prompt: not a terminal; {file} is unchanged"
    assert file.read_text() == "[voice]\nname = 'emma'\n"


def test_edit_again_goes_on_from_the_draft(
    file: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    seen = editor(monkeypatch, tmp_path, "[voice\n", "[voice]\nname = 'emma'\n")
    result = runner.invoke(app, ["config", "edit"], input="y\n")
    assert result.exit_code == 0, result.output
    assert (seen / "1").read_text() == "[voice\n"
    assert file.read_text() == "[voice]\nname = 'emma'\n"


def test_a_new_file_begins_with_every_setting_as_a_comment(
    file: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    seen = editor(monkeypatch, tmp_path, "")
    runner.invoke(app, ["config", "edit"])
    template = (seen / "0").read_text()
    uncommented = template.replace("# Settings", "## Settings")
    for option in OPTIONS.values():
        assert f"# {option.name} = " in template
        uncommented = uncommented.replace(f"# {option.name} = ", f"{option.name} = ")
    file.write_text(uncommented)
    shown = json.loads(runner.invoke(app, ["config", "show", "--json"]).output)["settings"]
    assert all(s["value"] == s["default"] and "line" in s["from"] for s in shown.values())


@pytest.mark.parametrize("name", ["false", "/nonexistent/editor", "rm"])
def test_an_editor_that_fails_is_said(
    file: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    monkeypatch.setenv("VISUAL", name)
    error = runner.invoke(app, ["config", "edit"]).exception
    assert isinstance(error, SettingsError)
    assert "Editing failed" in str(error)
    assert "set VISUAL or EDITOR" in str(error)
    assert not file.exists()
