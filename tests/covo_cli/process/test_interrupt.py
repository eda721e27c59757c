"""Ctrl-C is never lost in the import system."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from types import FrameType

import pytest

from covo_cli.process.interrupt import IMPORT_SYSTEM, interrupt, not_within_imports


@pytest.fixture(autouse=True)
def at_a_terminal():
    """Ctrl-C interrupts, also where the tests run in the background."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


def frame_within_imports() -> FrameType:
    """A frame of code that claims to be the import system's."""
    scope: dict[str, object] = {}
    code = "import sys\ndef find_and_load():\n    return sys._getframe()"
    exec(compile(code, IMPORT_SYSTEM, "exec"), scope)
    return scope["find_and_load"]()  # type: ignore[operator]


def test_the_name_is_that_of_the_import_system():
    """Seen from a module that is being imported."""
    seen = []

    class Watching:
        def find_spec(self, name, path, target=None):
            frame = sys._getframe()
            while frame := frame.f_back:
                seen.append(frame.f_code.co_filename)

    sys.meta_path.insert(0, Watching())
    try:
        with pytest.raises(ModuleNotFoundError):
            __import__("no_module_has_this_name")
    finally:
        sys.meta_path.pop(0)
    assert seen[0] == IMPORT_SYSTEM


def test_anywhere_else_it_interrupts_at_once():
    with not_within_imports(), pytest.raises(KeyboardInterrupt):
        os.kill(os.getpid(), signal.SIGINT)


def wait_long():
    for _ in range(1000):
        time.sleep(0.01)  # Windows' signals do not end a sleep


def test_on_windows_a_postponed_interrupt_does_not_kill(monkeypatch):
    monkeypatch.setattr(sys, "platform", "win32")
    monkeypatch.setattr(os, "kill", lambda *_: os._exit(1))
    test_within_an_import_it_comes_a_moment_later()


def test_within_an_import_it_comes_a_moment_later():
    with not_within_imports():
        interrupt(signal.SIGINT, frame_within_imports())
        with pytest.raises(KeyboardInterrupt):
            wait_long()


def test_what_was_set_before_is_set_again():
    with not_within_imports():
        assert signal.getsignal(signal.SIGINT) is interrupt
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler


def test_in_the_background_it_goes_on_doing_nothing():
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    with not_within_imports():
        os.kill(os.getpid(), signal.SIGINT)
        assert signal.getsignal(signal.SIGINT) is signal.SIG_IGN


PROGRAM = """
import builtins
real = builtins.__import__

def interrupted(name, *args, **kwargs):
    if name.startswith({name!r}):
        raise KeyboardInterrupt
    return real(name, *args, **kwargs)

from covo_cli.__main__ import main
builtins.__import__ = interrupted
main()
"""


@pytest.mark.parametrize(
    "name", ["dataclasses", "covo_cli.errors", "covo_cli.process", "typer", "covo_cli.settings"]
)
def test_while_the_program_imports_its_modules_it_ends_quietly(tmp_path, name):
    environment = os.environ | {"COVO_LOG_DIR": str(tmp_path), "COVO_CONFIG": str(tmp_path / "c")}
    command = [sys.executable, "-c", PROGRAM.format(name=name), "config", "path"]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 130
    assert "Traceback" not in done.stderr
