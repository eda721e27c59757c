"""Check weight files, write them completely or not at all, and report progress.

Shared by both stores, :mod:`model.weights.packages` and :mod:`model.weights.hub`.
"""

from __future__ import annotations

import hashlib
import os
import shutil
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path, PurePosixPath

from filelock import FileLock, Timeout

from model.errors import WeightsError


class WeightState(StrEnum):
    """Whether weights are complete."""

    READY = "ready"
    MISSING = "missing"
    PARTIAL = "partial"
    DAMAGED = "damaged"


@dataclass(frozen=True, slots=True)
class PullProgress:
    """``done`` of ``total`` bytes have arrived (0: unknown); ``package`` is the current one."""

    package: str
    done: int
    total: int


Progress = Callable[[PullProgress], None]


@dataclass(frozen=True, slots=True)
class StoredFile:
    """A file at ``name`` inside a folder (with slashes), of ``size`` bytes.

    ``digest`` is ``sha256:<hex>`` or ``git-sha1:<hex>``, the id of a git blob. Raises: ValueError
    for a name that leaves the folder.
    """

    name: str
    size: int
    digest: str

    def __post_init__(self) -> None:
        name, path = self.name, PurePosixPath(self.name)
        if not name or path.is_absolute() or ".." in path.parts or set(name) & set('\\:\0"'):
            raise ValueError(f"{name!r} is no name for a file of a model")


def digest_of(path: Path, kind: str = "sha256") -> str:
    """Return the digest of a file, of ``kind`` sha256 or git-sha1. Raises: OSError."""
    start = hashlib.sha256()
    if kind == "git-sha1":
        header = f"blob {path.stat().st_size}\0"
        start = hashlib.sha1(header.encode(), usedforsecurity=False)
    with path.open("rb") as file:
        return f"{kind}:{hashlib.file_digest(file, lambda: start).hexdigest()}"


def damage(folder: Path, file: StoredFile, *, deep: bool) -> str:
    """Return what is wrong with ``file`` in ``folder``, or "". ``deep``: read every byte."""
    path = folder / file.name
    try:
        size = path.stat().st_size
        if size != file.size:
            return f"{path} has {size} bytes instead of {file.size}"
        if deep and digest_of(path, file.digest.partition(":")[0]) != file.digest:
            return f"{path} has other bytes than the published ones"
    except FileNotFoundError:
        return f"{path} is missing"
    except OSError as error:
        return f"cannot read {path}: {error.strerror}"
    return ""


@contextmanager
def writing(folder: Path) -> Iterator[None]:
    """Turn an OSError inside into a WeightsError about ``folder``."""
    try:
        yield
    except OSError as error:
        raise WeightsError(f"cannot write to {folder}: {error}") from error


@contextmanager
def written_whole(target: Path) -> Iterator[Path]:
    """Yield an empty file that becomes ``target`` when the block succeeds. Raises: OSError."""
    target.parent.mkdir(parents=True, exist_ok=True)
    with temporary_file(target.parent) as written:
        yield written
        written.chmod(0o644)
        written.replace(target)


@contextmanager
def temporary_file(folder: Path) -> Iterator[Path]:
    """Yield an empty file in ``folder`` and delete it afterwards. Raises: OSError."""
    descriptor, name = tempfile.mkstemp(prefix=".new-", dir=folder)
    written = Path(name)
    try:
        os.close(descriptor)
        yield written
    finally:
        written.unlink(missing_ok=True)


def check_space(folder: Path, need: int, what: str) -> None:
    """Raise WeightsError unless ``need`` bytes are free where ``folder`` is or will be."""
    existing = next(path for path in (folder, *folder.parents) if path.exists())
    free = shutil.disk_usage(existing).free
    if free < need:
        unit, name = (1e9, "GB") if need >= 1e9 else (1e6, "MB")
        raise WeightsError(
            f"{what} needs {need / unit:.1f} {name} at {folder}, but only {free / unit:.1f} {name} "
            f"are free; make room, or set models.dir to a larger disk"
        )


@contextmanager
def locked(root: Path, name: str, progress: Progress | None) -> Iterator[None]:
    """Hold the lock on the weights called ``name`` under ``root``, against other processes.

    ``progress`` reports waiting; None: do not wait. Raises: WeightsError, OSError.
    """
    root.mkdir(parents=True, exist_ok=True)
    lock = FileLock(root / f".{name}.lock")
    try:
        lock.acquire(timeout=0)
    except Timeout:
        if progress is None:
            raise WeightsError(
                f"{name} is being pulled by another process; wait until it has finished"
            ) from None
        progress(PullProgress("waiting for another pull", 0, 0))
        lock.acquire()
    try:
        yield
    finally:
        lock.release()


def remove_folder(folder: Path) -> int:
    """Delete ``folder`` and return the bytes that this freed. Raises: OSError."""
    freed = sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())
    shutil.rmtree(folder)
    return freed
