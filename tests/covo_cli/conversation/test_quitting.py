"""Quitting takes a bounded time, whatever a model is doing, and loses nothing."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time

import numpy as np
import pytest
import soundfile

from covo_cli.process.leaving import QUIT_S

PROMISED_S = 3.0
SLACK_S = 5.0  # for a busy machine: starting threads, writing files, the kernel's own work


@pytest.fixture
def stuck(tmp_path):
    """Runs covo with a model that never returns; returns once it is stuck."""
    sound = tmp_path / "long.wav"
    soundfile.write(sound, np.zeros(16_000 * 60, np.float32), 16_000)
    environment = os.environ | {
        "COVO_DATA_DIR": str(tmp_path / "data"),
        "COVO_LOG_DIR": str(tmp_path / "logs"),
        "COVO_CONFIG": str(tmp_path / "config.toml"),
    }
    programs = []

    def run(where: str) -> subprocess.Popen[str]:
        command = [sys.executable, "-m", "tests.fakes.stuck_engine", where, "chat", "--json"]
        ends = ["--engine", "lite", "--input", str(sound), "--output", str(tmp_path / "out.wav")]
        program = subprocess.Popen(
            [*command, *ends],
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            text=True,
            env=environment,
        )
        programs.append(program)
        assert program.stderr is not None
        assert any(line == "stuck\n" for line in program.stderr)
        return program

    yield run
    for program in programs:
        program.kill()


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


def test_while_a_network_in_its_step_keeps_the_engine_from_closing(stuck, tmp_path):
    assert quit_in_time(stuck("step")) == 0
    assert soundfile.info(tmp_path / "out.wav").channels == 1
    log = (tmp_path / "logs" / "covo.log").read_text()
    assert "not closed after 1.5 s" in log
    assert "never_return" in log  # what the threads were doing


def test_while_a_model_is_loaded(stuck, tmp_path):
    assert quit_in_time(stuck("load")) == 130
    assert not (tmp_path / "out.wav").exists()
