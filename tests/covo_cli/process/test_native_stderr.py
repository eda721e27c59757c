"""What native code writes to stderr stays off the terminal, to the very end."""

from __future__ import annotations

import os
import pty
import subprocess
import sys
from contextlib import suppress

from covo_cli.process.native import (
    bound_product_cache,
    keep_libraries_to_themselves,
    let_waiting_threads_sleep,
)

PROGRAM = """
import atexit, os, sys
from pathlib import Path
from covo_cli.process.native import python_stderr_off_terminal, send_native_stderr_to
atexit.register(os.write, 2, b"from a library at the end")
send_native_stderr_to(Path(sys.argv[1]))
print("before", file=sys.stderr)
with python_stderr_off_terminal():
    os.write(2, b"from a library,")
    print("a warning,", file=sys.stderr, end="", flush=True)
os.write(2, b"from a device being closed,")
print("our last words", file=sys.stderr)
"""


def test_the_terminal_gets_our_words_and_nothing_native(tmp_path):
    log = tmp_path / "new" / "native.log"
    terminal, end = pty.openpty()
    subprocess.run([sys.executable, "-c", PROGRAM, str(log)], stderr=end, check=True)
    os.close(end)
    shown = b""
    with suppress(OSError):  # a terminal's way to say that all was read
        while part := os.read(terminal, 1000):
            shown += part
    assert shown == b"before\r\nour last words\r\n"
    assert log.read_bytes() == (
        b"from a library,a warning,from a device being closed,from a library at the end"
    )


def test_a_pipe_gets_everything(tmp_path):
    log = tmp_path / "native.log"
    result = subprocess.run(
        [sys.executable, "-c", PROGRAM, str(log)], stderr=subprocess.PIPE, check=True
    )
    assert b"from a library at the end" in result.stderr
    assert b"our last words" in result.stderr
    assert not log.exists()


def test_libraries_report_nothing_unless_the_user_wants_it(monkeypatch):
    monkeypatch.setattr(os, "environ", {"DO_NOT_TRACK": "0"})
    keep_libraries_to_themselves()
    assert os.environ["ORT_DISABLE_TELEMETRY"] == "1"
    assert os.environ["DO_NOT_TRACK"] == "0"


def test_waiting_threads_sleep_unless_the_user_wants_it(monkeypatch):
    for given, kept in (({}, "PASSIVE"), ({"OMP_WAIT_POLICY": "ACTIVE"}, "ACTIVE")):
        monkeypatch.setattr(os, "environ", dict(given))
        let_waiting_threads_sleep()
        assert os.environ["OMP_WAIT_POLICY"] == kept


def test_few_shapes_of_products_are_kept_unless_the_user_wants_more(monkeypatch):
    name = "ONEDNN_PRIMITIVE_CACHE_CAPACITY"
    for given, kept in (({}, "64"), ({name: "1024"}, "1024")):
        monkeypatch.setattr(os, "environ", dict(given))
        bound_product_cache()
        assert os.environ[name] == kept
