"""Programs of the user's own as tools: arguments as JSON on stdin, the result on stdout."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
import tempfile
from collections.abc import Callable, Sequence
from typing import IO

from model.errors import ToolError
from model.jobs.channel import Cancelled
from model.tools.tool import Arguments

MOST_BYTES = 1_000_000
"""Output after which a program is stopped."""

_POLL_S = 0.02
_LAST_WORDS = 300
"""Characters of what a failing program said last that are told."""


def executable(name: str, command: Sequence[str]) -> Callable[[Arguments, Cancelled], str]:
    """Return what runs ``command``, without a shell, as the tool ``name``."""

    def run(arguments: Arguments, stop: Cancelled) -> str:
        with (
            tempfile.TemporaryFile() as given,
            tempfile.TemporaryFile() as output,
            tempfile.TemporaryFile() as errors,
        ):
            given.write(json.dumps(arguments, ensure_ascii=False).encode())
            given.seek(0)
            try:
                process = subprocess.Popen(
                    list(command),
                    stdin=given,
                    stdout=output,
                    stderr=errors,
                    start_new_session=sys.platform != "win32",
                )
            except OSError as error:
                why = error.strerror or type(error).__name__
                raise ToolError(f"{name} cannot be started: {command[0]}: {why}") from error
            _wait(process, name, (output, errors), stop)
            if process.returncode:
                raise ToolError(f"{name} failed with exit code {process.returncode}{_last(errors)}")
            output.seek(0)
            try:
                return output.read().decode()
            except UnicodeDecodeError as error:
                raise ToolError(f"{name} printed bytes that are no text in UTF-8") from error

    return run


def _wait(
    process: subprocess.Popen[bytes], name: str, written: Sequence[IO[bytes]], stop: Cancelled
) -> None:
    """Wait for the end of ``process``; stop it if asked to, or if it has ``written`` too much."""
    try:
        while True:
            over = process.poll() is not None
            if any(os.fstat(file.fileno()).st_size > MOST_BYTES for file in written):
                raise ToolError(f"{name} printed more than {MOST_BYTES // 1_000_000} MB: stopped")
            if over:
                return
            if stop():
                raise ToolError(f"{name} was stopped")
            with contextlib.suppress(subprocess.TimeoutExpired):
                process.wait(_POLL_S)
    except ToolError:
        _kill(process)
        raise


def _kill(process: subprocess.Popen[bytes]) -> None:
    """Kill ``process``, and what it started."""
    with contextlib.suppress(ProcessLookupError, PermissionError):
        if sys.platform == "win32":
            process.kill()
        else:
            os.killpg(process.pid, signal.SIGKILL)
    process.wait()


def _last(errors: IO[bytes]) -> str:
    """Return the last line of what was written to stderr."""
    errors.seek(0)
    lines = errors.read().decode(errors="replace").strip().splitlines()
    return f": {lines[-1].strip()[:_LAST_WORDS]}" if lines else ""
