"""The standard streams are usable, whatever the program was started with."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

TRY = """
import os, sys
for number in {closed}:
    os.close(number)
    setattr(sys, ("stdin", "stdout", "stderr")[number], None)
from covo_cli.process.streams import mend_standard_streams
mend_standard_streams()
with open({path!r}, "w") as file:
    print("number", file.fileno(), file=file)
    sys.stdin.isatty(), sys.stdout.isatty(), sys.stderr.isatty()
    print("never mind")
    os.write(2, b"a library speaks")
"""


@pytest.mark.skipif(sys.platform == "win32", reason="file descriptors as of POSIX")
@pytest.mark.parametrize("closed", [(0,), (1,), (2,), (0, 1), (1, 2), (0, 2), (0, 1, 2)])
def test_no_file_takes_the_number_of_a_closed_stream(tmp_path: Path, closed) -> None:
    path = tmp_path / "file"
    code = TRY.format(closed=closed, path=str(path))
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, check=False)
    assert done.returncode == 0
    name, number = path.read_text().split()
    assert (name, int(number) > 2) == ("number", True)


@pytest.mark.skipif(sys.platform == "win32", reason="needs a POSIX shell")
@pytest.mark.parametrize("streams", ["<&-", ">&-", "2>&-", "<&- >&- 2>&-"])
def test_a_command_works_without(tmp_path: Path, streams: str) -> None:
    environment = os.environ | {"COVO_CONFIG": str(tmp_path / "c.toml"), "COVO_LOG_DIR": "."}
    for command, code in (("config set turns.silence 0.5", 0), ("config set turns.silence x", 1)):
        shell = f'"{sys.executable}" -m covo_cli {command} {streams}'
        done = subprocess.run(
            shell, shell=True, env=environment, cwd=tmp_path, check=False, capture_output=True
        )
        assert done.returncode == code
        assert b"Traceback" not in done.stdout + done.stderr
    assert "silence = 0.5" in (tmp_path / "c.toml").read_text()


def test_an_error_can_be_told_in_any_encoding(tmp_path: Path) -> None:
    environment = os.environ | {"PYTHONIOENCODING": "ascii:strict", "COVO_LOG_DIR": str(tmp_path)}
    command = [sys.executable, "-m", "covo_cli", "config", "set", "persoña.名", "x"]
    done = subprocess.run(command, env=environment, capture_output=True, check=False)
    assert done.returncode == 1
    assert done.stderr.startswith(b"covo: no setting 'perso\\xf1a.\\u540d'")
    assert done.stderr.count(b"\n") == 1
