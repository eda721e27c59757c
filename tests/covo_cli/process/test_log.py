"""The log file: where it is, what begins it, and when there is none."""

from __future__ import annotations

import io
import logging
import os
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from audio_io.worker import LOG_FILE_HANDLER, details_hint
from covo_cli.process.log import _LogFile, _Stderr, begin_log, log_dir


def run(folder: Path, *args: str) -> subprocess.CompletedProcess[str]:
    environment = os.environ | {"COVO_LOG_DIR": str(folder / "logs")}
    command = [sys.executable, "-m", "covo_cli", *args]
    return subprocess.run(command, capture_output=True, text=True, check=True, env=environment)


def test_a_command_is_logged_and_help_is_not(tmp_path):
    run(tmp_path, "--help")
    assert not (tmp_path / "logs").exists()
    result = run(tmp_path, "--verbose", "config", "show")
    log = (tmp_path / "logs" / "covo.log").read_text()
    assert ": config --verbose\n" in log
    assert log in result.stderr


def test_verbose_follows_the_terminal_when_fd_2_is_redirected(monkeypatch):
    handler = _Stderr()
    monkeypatch.setattr(sys, "stderr", io.StringIO())
    handler.handle(logging.makeLogRecord({"msg": "here"}))
    assert sys.stderr.getvalue() == "here\n"


def test_the_folder_of_the_log(monkeypatch, tmp_path):
    monkeypatch.delenv("COVO_LOG_DIR")
    monkeypatch.setenv("COVO_DATA_DIR", str(tmp_path))
    assert log_dir() == tmp_path / "logs"
    monkeypatch.delenv("COVO_DATA_DIR")
    assert "covo" in str(log_dir())


@pytest.fixture
def handler(tmp_path):
    handler = _LogFile(tmp_path / "no folder" / "covo.log", delay=True)
    handler.name = LOG_FILE_HANDLER
    logging.getLogger().addHandler(handler)
    yield handler
    logging.getLogger().removeHandler(handler)


def test_a_pipe_without_a_reader_is_no_log(monkeypatch, tmp_path):
    os.mkfifo(tmp_path / "covo.log")
    monkeypatch.setenv("COVO_LOG_DIR", str(tmp_path))
    monkeypatch.setattr(threading, "excepthook", threading.excepthook)
    before = list(logging.getLogger().handlers)
    begin_log(["chat"])
    assert logging.getLogger().handlers == before


def test_a_log_that_cannot_be_written_disturbs_nobody(handler, capsys):
    logging.getLogger("covo_cli").warning("lost")
    assert capsys.readouterr().err == ""
    assert details_hint() == f" (details in {handler.baseFilename})"
