"""What others wrote reaches the terminal as it is."""

from __future__ import annotations

import errno
import io
import json
import os
from pathlib import Path

import pytest
from rich.table import Table
from typer.testing import CliRunner

from covo_cli.app import app
from covo_cli.commands.common import print_json
from covo_cli.errors import CliError, message_for
from covo_cli.process.terminal import PlainConsole, long_progress
from covo_cli.process.whole_file import write_text
from covo_cli.sessions.audio import read_audio
from covo_cli.sessions.display import facts
from covo_cli.sessions.store import SessionStore
from tests.fakes.session_factory import record_session

NAME = "x [old] [/] :key: \\[b] 12"


@pytest.mark.parametrize("terminal", [False, True])
def test_markup_and_emoji_codes_are_printed_as_they_are(
    terminal: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    if terminal:
        monkeypatch.setenv("FORCE_COLOR", "1")
    out = io.StringIO()
    console = PlainConsole(file=out, width=100)
    assert console.is_terminal == terminal
    console.print(f"Recorded in {NAME}")
    table = Table(NAME, title=NAME)
    table.add_row(NAME)
    console.print(table)
    assert out.getvalue().count(NAME) == 4
    assert f"Recorded in {NAME}\n" in out.getvalue()
    if terminal:
        with console.status(f"Loading {NAME}") as status:
            status.update(f"Still loading {NAME}")
        assert f"Still loading {NAME}" in out.getvalue()


def test_a_name_cannot_command_the_terminal() -> None:
    out = io.StringIO()
    PlainConsole(file=out).print("a\x1b]0;title\x07\x9b2J b\nc")
    assert out.getvalue() == "a\ufffd]0;title\ufffd\ufffd2J b\nc\n"
    assert message_for(CliError("a\x1b[2J\u202eb\udcff c")) == "covo: a [2J b\udcff c"


def test_a_path_out_of_reach_is_no_bug() -> None:
    error = PermissionError(errno.EACCES, "Permission denied", "/root/voices")
    told = "covo: cannot use /root/voices: Permission denied; choose another path"
    assert message_for(error) == told
    assert "this is a bug" in message_for(PermissionError(errno.EACCES, "Permission denied"))


def test_a_card_whose_memory_is_full_is_no_bug() -> None:
    torch = pytest.importorskip("torch", reason="needs torch (the covo extra)")
    error = torch.cuda.OutOfMemoryError(
        "CUDA out of memory. Tried to allocate 2.00 GiB. GPU 0 has a total capacity of 24 GiB."
    )
    told = message_for(error)
    assert "memory of the GPU is full (CUDA out of memory. Tried to allocate 2.00 GiB)" in told
    assert "bug" not in told


def test_a_folder_may_have_brackets_in_its_name(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path / "x [old]"
    monkeypatch.setenv("COVO_CONFIG", str(folder / "covo.toml"))
    monkeypatch.setenv("COVO_DATA_DIR", str(folder))
    runner = CliRunner()
    sessions = str(folder / "s [b]")
    assert runner.invoke(app, ["config", "set", "session.dir", sessions]).exit_code == 0
    for command in (["config", "show"], ["config", "path"], ["sessions", "list"]):
        shown = runner.invoke(app, command).output.replace("\n", "")
        assert "x [old]" in shown, command


def test_the_time_left_is_told_of_steps_that_take_minutes() -> None:
    progress = long_progress(PlainConsole(file=io.StringIO()))
    now = [0.0]
    progress.get_time = lambda: now[0]
    task = progress.add_task("steps", total=10)
    for done in range(1, 4):
        now[0] += 90.0
        progress.update(task, completed=done)
    assert progress.tasks[0].time_remaining == 7 * 90


BYTES = os.fsdecode(b"d\xff [old]")


def test_a_name_may_be_any_bytes(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = record_session(tmp_path / BYTES, seconds=1.0)
    session = SessionStore(tmp_path / BYTES).open("last")
    assert session.warnings == ()
    assert f" {folder}\n" in facts(session).plain
    assert sum(map(len, read_audio(folder))) == 24_000
    print_json({"folder": str(folder)})
    assert json.loads(capsys.readouterr().out) == {"folder": str(folder)}


def test_a_setting_that_the_file_cannot_hold_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COVO_CONFIG", str(tmp_path / "covo.toml"))
    result = CliRunner().invoke(app, ["config", "set", "session.dir", BYTES])
    assert "which is not Unicode" in str(result.exception)
    assert list(tmp_path.iterdir()) == []


def test_writing_keeps_a_link_and_works_for_the_longest_name(tmp_path: Path) -> None:
    target, link = tmp_path / ("x" * 255), tmp_path / "link"
    link.symlink_to(target)
    write_text(link, "one")
    assert link.is_symlink()
    assert target.read_text() == "one"
    assert {path.name for path in tmp_path.iterdir()} == {target.name, "link"}
