"""Write the log file: states, failures with their tracebacks, and nothing private.

Commands are logged without values, and what messages quote is hidden.
"""

from __future__ import annotations

import contextlib
import logging
import platform
import re
import sys
import threading
from collections.abc import Sequence
from logging.handlers import RotatingFileHandler
from pathlib import Path
from typing import TextIO

from audio_io.worker import LOG_FILE_HANDLER
from covo_cli import __version__
from covo_cli.errors import SettingsError
from covo_cli.process.places import place_in, usual_place
from model.secrets import without_secrets

FILE_BYTES = 1_000_000
OLD_FILES = 2
OUR_ROOMS = ("audio_io", "covo_cli", "model", "voices")
FORMAT = "%(asctime)s %(process)d %(levelname)s %(name)s [%(threadName)s] %(message)s"

_QUOTED = re.compile(r"""(?<!\w)(['"]).*?(?<!\\)\1(?!\w)""")
_QUOTING_CODE = ("AttributeError", "ImportError", "ModuleNotFoundError", "NameError", "TypeError")

log = logging.getLogger(__name__)


class _LogFile(RotatingFileHandler):
    def handleError(self, record: logging.LogRecord) -> None:  # noqa: N802 - logging's name
        """Drop the record: a full disk must not disturb the conversation."""


class _Stderr(logging.StreamHandler[TextIO]):
    def emit(self, record: logging.LogRecord) -> None:
        """Write to the present ``sys.stderr``, which :mod:`.native` replaces."""
        self.stream = sys.stderr
        super().emit(record)


class _Formatter(logging.Formatter):
    def format(self, record: logging.LogRecord) -> str:
        """Hide quotations, which may be private, except in a traceback's code."""
        lines = super().format(record).splitlines()
        kept = (" ", *_QUOTING_CODE)
        lines = [x if x.startswith(kept) else _QUOTED.sub("'...'", x) for x in lines]
        return without_secrets("\n".join(lines))


def log_dir() -> Path:
    """Return ``COVO_LOG_DIR``, or ``logs`` in ``COVO_DATA_DIR``, or the platform's log folder.

    Raises: SettingsError if there is no home folder to have it in.
    """
    if chosen := place_in("COVO_LOG_DIR"):
        return chosen
    if data := place_in("COVO_DATA_DIR"):
        return data / "logs"
    return usual_place("log")


def log_path() -> Path:
    """Return the log file of this and earlier runs."""
    return log_dir() / "covo.log"


def native_log_path() -> Path:
    """Return the file for what native libraries write to stderr."""
    return log_dir() / "native.log"


def begin_log(arguments: Sequence[str]) -> None:
    """Log to the file, and to stderr with ``--verbose``. Call once, at the start of the process."""
    root = logging.getLogger()
    handlers: list[logging.Handler] = []
    with contextlib.suppress(SettingsError):  # the command itself tells it
        path = log_path()
        with contextlib.suppress(OSError):
            path.parent.mkdir(parents=True, exist_ok=True)
        if path.is_file() or not path.exists():  # opening a pipe would wait for its reader
            handlers.append(
                _LogFile(path, "a", FILE_BYTES, OLD_FILES, "utf-8", delay=True, errors="replace")
            )
            handlers[0].name = LOG_FILE_HANDLER
    if "--verbose" in arguments:
        handlers.append(_Stderr())
    for handler in handlers:
        handler.setFormatter(_Formatter(FORMAT))
        root.addHandler(handler)
    for room in OUR_ROOMS:
        logging.getLogger(room).setLevel(logging.DEBUG)
    threading.excepthook = lambda dead: log.error("thread died", exc_info=dead.exc_value)
    log.info("covo %s: %s", __version__, _without_values(arguments))
    facts = (platform.python_version(), platform.platform(), platform.machine())
    log.info("Python %s on %s, %s", *facts)


def _without_values(arguments: Sequence[str]) -> str:
    """Return the command and the long options, without values: those may be private."""
    long = [word.partition("=")[0] for word in arguments if word.startswith("--")]
    command = next((word for word in arguments if not word.startswith("-")), "")
    return " ".join([command, *long])
