"""Find and make folders, and drafts in them; tell what is in the way, such as a missing disk."""

from __future__ import annotations

import contextlib
import errno
import os
import platform
import shutil
import stat
import tempfile
import zlib
from pathlib import Path
from secrets import token_hex

MOST_BYTES = 64_000_000
"""Size of the largest file of a voice: a prompt of 40 minutes."""


def check_readable(path: Path, most_bytes: int = MOST_BYTES) -> None:
    """Check that ``path`` can be read whole: no device, no pipe, at most ``most_bytes``.

    Raises: OSError.
    """
    found = path.stat()
    if not (stat.S_ISREG(found.st_mode) or stat.S_ISDIR(found.st_mode)):
        raise OSError(errno.EINVAL, "it is a device or a pipe, not a file", str(path))
    if found.st_size > most_bytes:
        raise OSError(errno.EFBIG, f"{found.st_size:,} bytes are too many for a voice", str(path))


def expanded(path: str | Path) -> Path:
    """Return ``path`` with the home folder for ``~``; as it is where there is no such home."""
    try:
        return Path(path).expanduser()
    except RuntimeError:
        return Path(path)


def make_folder(folder: Path) -> None:
    """Create ``folder`` and its parents, unless they are there. Raises: OSError with the reason."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        if problem := in_the_way(folder):
            raise OSError(error.errno or errno.ENOENT, problem, str(folder)) from error
        raise


def in_the_way(folder: Path) -> str:
    """Return why ``folder`` cannot be there or be made, with the remedy; "" if it can."""
    for path in (*reversed(folder.parents), folder):
        if os.path.isdir(path):  # noqa: PTH112 - Path's raises for a name that is too long
            continue
        if os.path.islink(path):  # noqa: PTH114
            return (
                f"{path} is a link to {path.readlink()}, which is not there: mount its disk, or "
                "remove the link"
            )
        if os.path.lexists(path):
            return f"{path} is a file, not a folder: move it away"
        return ""
    return ""


def nearest(folder: Path) -> Path:
    """Return ``folder`` or the nearest of its parents that is there."""
    return next(
        path
        for path in (folder, *folder.parents)
        if os.path.isdir(path)  # noqa: PTH112
    )


def why_unwritable(folder: Path) -> str:
    """Return why nothing can be written into ``folder``, or "". Tries it with a nameless file."""
    if problem := in_the_way(folder):
        return problem
    try:
        with tempfile.TemporaryFile(dir=nearest(folder)) as file:
            file.write(b"x")
        with contextlib.suppress(FileNotFoundError):
            next(folder.iterdir(), None)
    except OSError as error:
        return f"cannot write into {folder}: {error.strerror or error}"
    return ""


def draft_in(folder: Path) -> Path:
    """Return a new hidden name in ``folder`` for what becomes whole when it is renamed.

    Drafts that were left there by processes which were killed are removed.
    """
    ours = f".covo-draft-{zlib.crc32(platform.node().encode()):08x}-"
    with contextlib.suppress(OSError):
        for draft in folder.glob(f"{ours}*"):
            pid = draft.name.removeprefix(ours).partition("-")[0]
            if pid.isdecimal() and not _runs(int(pid)):
                _remove(draft)
    return folder / f"{ours}{os.getpid()}-{token_hex(4)}"


def _runs(pid: int) -> bool:
    try:
        os.kill(pid, 0) if os.name == "posix" else None
    except ProcessLookupError:
        return False
    except OSError:
        return True
    return True


def _remove(draft: Path) -> None:
    with contextlib.suppress(OSError):
        if draft.is_dir():
            shutil.rmtree(draft, ignore_errors=True)
        else:
            draft.unlink()
