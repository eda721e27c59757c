"""Quitting takes a bounded time, whatever a model is doing, and loses nothing."""

from __future__ import annotations

import contextlib
import json
import os
import pty
import signal
import subprocess
import sys
import time

import numpy as np
import pytest
import soundfile

from covo_cli.process.leaving import QUIT_S

PROGRAM = "tests.covo_cli.conversation.stuck_engine"
PROMISED_S = 3.0
SLACK_S = 5.0  # for a busy machine: starting threads, writing files, the kernel's own work


@pytest.fixture(autouse=True)
def no_nohup():
    """Let a hang-up count, even where the tests themselves run under nohup."""
    if sys.platform == "win32":
        yield
        return
    before = signal.signal(signal.SIGHUP, signal.SIG_DFL)
    yield
    signal.signal(signal.SIGHUP, before)


@pytest.fixture
def covo(tmp_path):
    """Starts covo with a model that misbehaves."""
    environment = os.environ | {
        "COVO_DATA_DIR": str(tmp_path / "data"),
        "COVO_LOG_DIR": str(tmp_path / "logs"),
        "COVO_CONFIG": str(tmp_path / "config.toml"),
    }
    programs = []

    def run(how: str, *args: str, seconds: int = 60, **streams: int) -> subprocess.Popen[str]:
        sound = tmp_path / "sound.wav"
        soundfile.write(sound, np.zeros(16_000 * seconds, np.float32), 16_000)
        command = [
            sys.executable,
            "-m",
            "tests.covo_cli.conversation.stuck_engine",
            how,
            "chat",
            *args,
        ]
        ends = ["--engine", "lite", "--input", str(sound), "--output", str(tmp_path / "out.wav")]
        programs.append(subprocess.Popen([*command, *ends], text=True, env=environment, **streams))
        return programs[-1]

    yield run
    for program in programs:
        program.kill()


@pytest.fixture
def stuck(covo):
    """Runs covo with a model that never returns; returns once it is stuck."""

    def run(where: str) -> subprocess.Popen[str]:
        program = covo(where, "--json", stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)
        assert program.stderr is not None
        assert any(line == "stuck\n" for line in program.stderr)
        return program

    return run


def quit_in_time(program: subprocess.Popen[str]) -> int:
    asked = time.monotonic()
    program.send_signal(signal.SIGINT)
    code = program.wait(timeout=60)
    assert time.monotonic() - asked < PROMISED_S + SLACK_S
    return code


def test_both_stages_keep_the_promise():
    assert 2 * QUIT_S <= PROMISED_S


def test_while_a_chat_model_reads_its_prompt(stuck, tmp_path):
    assert quit_in_time(stuck("reply")) == 0
    (session,) = (tmp_path / "data" / "sessions").iterdir()
    assert json.loads((session / "session.json").read_text())["end_reason"] == "quit by the user"
    assert soundfile.info(tmp_path / "out.wav").channels == 1
    log = (tmp_path / "logs" / "covo.log").read_text()
    assert "still running after 1 s: covo-lane" in log
    assert "leaving with workers running: covo-lane" in log


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no such signals")
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP])
def test_the_recording_says_what_stopped_it(stuck, tmp_path, number):
    program = stuck("reply")
    program.send_signal(number)
    program.wait(timeout=60)
    (session,) = (tmp_path / "data" / "sessions").iterdir()
    reason = json.loads((session / "session.json").read_text())["end_reason"]
    assert reason.endswith(f"({number.name})")
    assert not (session / "audio.part").exists()  # whole, not for somebody to recover


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no such signal")
def test_under_nohup_a_closed_terminal_ends_nothing(stuck, tmp_path):
    before = signal.signal(signal.SIGHUP, signal.SIG_IGN)
    try:
        program = stuck("reply")
    finally:
        signal.signal(signal.SIGHUP, before)
    program.send_signal(signal.SIGHUP)
    quit_in_time(program)
    (session,) = (tmp_path / "data" / "sessions").iterdir()
    assert json.loads((session / "session.json").read_text())["end_reason"] == "quit by the user"


def test_while_a_network_in_its_step_keeps_the_engine_from_closing(stuck, tmp_path):
    assert quit_in_time(stuck("step")) == 0
    assert soundfile.info(tmp_path / "out.wav").channels == 1
    log = (tmp_path / "logs" / "covo.log").read_text()
    assert "not closed after 1.5 s" in log
    assert "never_return" in log  # what the threads were doing


def test_while_a_model_is_loaded(stuck, tmp_path):
    assert quit_in_time(stuck("load")) == 130
    assert not (tmp_path / "out.wav").exists()


def test_nothing_native_reaches_the_terminal_even_after_quitting(covo, tmp_path):
    terminal, end = pty.openpty()
    program = covo("noisy", seconds=1, stdin=end, stdout=end, stderr=end)
    os.close(end)
    shown = b""
    with contextlib.suppress(OSError):  # how a pty tells that its other end is closed
        while piece := os.read(terminal, 4096):
            shown += piece
    os.close(terminal)
    assert program.wait(timeout=60) == 0
    assert b"Recorded in" in shown
    assert b"ALSA" not in shown
    native = (tmp_path / "logs" / "native.log").read_text()
    for when in ("while it runs", "while it closes", "at the very end"):
        assert f"ALSA lib {when}" in native


def test_a_terminal_that_goes_ends_it_without_a_fuss(covo, tmp_path):
    terminal, end = pty.openpty()
    program = covo("reply", stdin=end, stdout=end, stderr=end)
    os.close(end)
    shown = b""
    while b" REC " not in shown:  # of the live screen
        shown += os.read(terminal, 4096)
    os.close(terminal)
    program.send_signal(signal.SIGHUP)
    assert program.wait(timeout=60) == 0
    (session,) = (tmp_path / "data" / "sessions").iterdir()
    reason = json.loads((session / "session.json").read_text())["end_reason"]
    assert reason in ("the terminal was closed (SIGHUP)", "the terminal has gone")
    assert "unexpected error" not in (tmp_path / "logs" / "covo.log").read_text()


STALLED = """
import sys
from covo_cli.process import leaving
leaving.own_process()
leaving.leave_within(0.1, 3)
sys.stdout.write("x" * 1_000_000)
"""


def test_a_reader_that_takes_nothing_does_not_keep_the_process(tmp_path):
    # Only a stream with a buffer has the lock that kept the process.
    environment = os.environ | {"COVO_LOG_DIR": str(tmp_path), "PYTHONUNBUFFERED": ""}
    command = [sys.executable, "-c", STALLED]
    with subprocess.Popen(command, stdout=subprocess.PIPE, env=environment) as program:
        try:
            assert program.wait(30) == 3
        finally:
            program.kill()
    assert "in <module>" in (tmp_path / "covo.log").read_text()  # where it stood
