"""Processes beside this one: Ctrl-C is not theirs, and none outlives who began it."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import psutil
import pytest

from model.jobs.processes import WorkerProcesses
from tests import ROOT

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="needs process groups")

PROGRAM = """
import os, signal, sys, time
from model.jobs.processes import WorkerProcesses

def work(number):
    print("works", flush=True)
    time.sleep(60)

if __name__ == "__main__":
    signal.signal(signal.SIGINT, signal.default_int_handler)  # also where tests run in background
    try:
        with WorkerProcesses(2) as pool:
            [one.result() for one in [pool.submit(work, number) for number in range(5)]]
    except KeyboardInterrupt:
        sys.exit(130)
else:
    print("imports", os.getpid(), flush=True)
    time.sleep(0.3)
"""


@contextmanager
def running(folder: Path) -> Iterator[subprocess.Popen[str]]:
    program = folder / "program.py"
    program.write_text(PROGRAM)
    pipe, where = subprocess.PIPE, {**os.environ, "PYTHONPATH": str(ROOT)}
    command = [sys.executable, program]
    with subprocess.Popen(
        command, env=where, stdout=pipe, stderr=pipe, text=True, process_group=0
    ) as run:
        yield run


def test_ctrl_c_ends_them_in_silence(tmp_path):
    """It reaches them, too, even before they can ignore it."""
    with running(tmp_path) as run:
        assert run.stdout is not None
        seen = [run.stdout.readline().split() for _ in range(2)]
        for what, process in seen:
            assert what == "imports"
            os.kill(int(process), signal.SIGINT)
        assert [run.stdout.readline() for _ in range(2)] == ["works\n"] * 2
        os.killpg(run.pid, signal.SIGINT)
        _, errors = run.communicate(timeout=20)
    assert (run.returncode, errors) == (130, "")
    assert not any(psutil.pid_exists(int(process)) for _, process in seen)


def test_they_end_with_one_that_is_killed(tmp_path):
    """Or they would work on, beside the one that goes on."""
    with running(tmp_path) as run:
        assert run.stdout is not None
        assert any(line == "works\n" for line in run.stdout)
        processes = psutil.Process(run.pid).children(recursive=True)
        run.kill()
    assert len(processes) > 2
    while any(one.is_running() and one.status() != psutil.STATUS_ZOMBIE for one in processes):
        time.sleep(0.05)


def test_a_failure_ends_them_at_once():
    def one_fails() -> None:
        with WorkerProcesses(2) as pool:
            pool.submit(time.sleep, 60)
            pool.submit(divmod, 1, 0).result()

    begun = time.monotonic()
    with pytest.raises(ZeroDivisionError):
        one_fails()
    assert time.monotonic() - begun < 30


def test_each_begins_as_it_is_told_and_is_replaced(tmp_path):
    with WorkerProcesses(1, os.chdir, tmp_path, tasks_each=1) as pool:
        first = pool.submit(os.getpid).result()
        assert pool.submit(os.getcwd).result() == str(tmp_path)
        assert pool.submit(os.getpid).result() != first
