"""What native code writes to stderr stays off the live screen."""

from __future__ import annotations

import os
import pty
import subprocess
import sys

PROGRAM = """
import os, sys
from pathlib import Path
from covo_cli.process.native_stderr import native_stderr_into
with native_stderr_into(Path(sys.argv[1])):
    os.write(2, b"from a library")
os.write(2, b"from us")
"""


def test_a_terminal_is_spared_and_given_back(tmp_path):
    log = tmp_path / "new" / "stderr.log"
    terminal, end = pty.openpty()
    subprocess.run([sys.executable, "-c", PROGRAM, str(log)], stderr=end, check=True)
    os.close(end)
    assert os.read(terminal, 100) == b"from us"
    assert log.read_bytes() == b"from a library"


def test_a_pipe_gets_everything(tmp_path):
    log = tmp_path / "stderr.log"
    result = subprocess.run(
        [sys.executable, "-c", PROGRAM, str(log)], stderr=subprocess.PIPE, check=True
    )
    assert result.stderr == b"from a libraryfrom us"
    assert not log.exists()
