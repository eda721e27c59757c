"""What is printed where it cannot be: a full disk, a locale without the characters."""

from __future__ import annotations

import errno
import os
import subprocess
import sys
from pathlib import Path

import pytest

from covo_cli.__main__ import _run
from covo_cli.process import log
from covo_cli.sessions.store import SessionStore

COMMAND = [sys.executable, "-m", "covo_cli"]


@pytest.fixture
def environment(tmp_path: Path) -> dict[str, str]:
    kept = {k: v for k, v in os.environ.items() if not k.startswith(("COVO_", "LC_", "PYTHONUTF8"))}
    return {
        **kept,
        "COVO_CONFIG": str(tmp_path / "config.toml"),
        "COVO_DATA_DIR": str(tmp_path / "data"),
    }


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs /dev/full")
def test_a_full_disk_behind_stdout_is_said(environment):
    with Path("/dev/full").open("w") as full:
        done = subprocess.run(
            [*COMMAND, "voices", "list"],
            env=environment,
            stdout=full,
            stderr=subprocess.PIPE,
            text=True,
            check=False,
        )
    assert done.returncode == 1
    assert done.stderr == (
        "covo: cannot write its output: No space left on device; make room on the disk\n"
    )


@pytest.mark.parametrize("encoding", ["ascii", "latin-1", "utf-8"])
def test_what_an_encoding_lacks_is_replaced(environment, encoding):
    done = subprocess.run(
        [*COMMAND, "voices", "list"],
        env={**environment, "PYTHONIOENCODING": encoding},
        capture_output=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    mark = "→" if encoding == "utf-8" else "?"
    (chosen,) = [
        line
        for line in done.stdout.decode(encoding).splitlines()
        if line.strip().startswith(mark) and "heart" in line
    ]
    assert "woman, 197 Hz" in chosen


def test_only_a_closed_output_ends_it_quietly(monkeypatch, capfd):
    def broken(self: SessionStore) -> list[str]:
        raise BrokenPipeError(errno.EPIPE, "Broken pipe")

    monkeypatch.setattr(SessionStore, "list", broken)
    monkeypatch.setattr(log, "begin_log", lambda arguments: None)
    monkeypatch.setattr(sys, "argv", ["covo", "sessions", "list"])
    assert _run(sys.argv[1:]) == 1
    assert "unexpected RuntimeError: BrokenPipeError" in capfd.readouterr().err


@pytest.mark.skipif(sys.platform == "win32", reason="a pipe's other end cannot be seen there")
@pytest.mark.parametrize("command", [["voices", "list"], ["sessions", "list"]])
def test_a_closed_output_is_no_error(environment, command):
    reader, writer = os.pipe()
    os.close(reader)
    done = subprocess.run(
        [*COMMAND, *command], env=environment, stdout=writer, stderr=subprocess.PIPE, check=False
    )
    os.close(writer)
    assert (done.returncode, done.stderr) == (1, b"")
