"""Keep two processes from working in one folder."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from covo_cli.errors import CliError
from voices.folders import make_folder


@contextmanager
def alone_in(folder: Path) -> Iterator[None]:
    """Keep other processes from working in ``folder``, which is made if it is missing.

    The lock is the system's own and ends with its process. Raises: CliError, OSError.
    """
    from filelock import FileLock, Timeout

    make_folder(folder)
    lock = FileLock(folder / ".lock")
    try:
        lock.acquire(timeout=0)
    except Timeout as error:
        raise CliError(
            f"another process works in {folder}; wait until it is done, or stop it"
        ) from error
    try:
        yield
    finally:
        lock.release()


@contextmanager
def working_in(folder: Path) -> Iterator[None]:
    """Work in ``folder`` alone, and turn trouble with the disk into an error of one line.

    Raises: CliError.
    """
    try:
        with alone_in(folder):
            yield
    except OSError as error:
        place = error.filename or folder
        raise CliError(f"cannot work in {place}: {error.strerror or error}") from error
