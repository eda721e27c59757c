"""Read a text file of reasonable size; write a file whole or not at all."""

from __future__ import annotations

import errno
import os
import shutil
import stat
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from tempfile import TemporaryDirectory

from voices.folders import draft_in

_MOST_CHARACTERS = 1_000_000


@contextmanager
def whole_file(target: Path) -> Iterator[Path]:
    """Yield a temporary path, which replaces ``target`` when the block ends without an error.

    After an error ``target`` is unchanged; a link stays one, and what it points to is replaced.
    A device or a pipe stays, too, and gets the content at the end. Raises: OSError.
    """
    if is_stream(target):
        with TemporaryDirectory() as folder:
            draft = Path(folder) / "draft"
            yield draft
            with draft.open("rb") as source, target.open("wb") as sink:
                shutil.copyfileobj(source, sink)
        return
    target = Path(os.path.realpath(target))  # Path.resolve fails for a circle of links
    # Not named after the target, whose name may be as long as names can be.
    temporary = draft_in(target.parent)
    try:
        yield temporary
        temporary.replace(target)
    finally:
        with suppress(OSError):  # it must not hide why it is still there
            temporary.unlink(missing_ok=True)


def is_stream(path: Path) -> bool:
    """Return whether ``path`` is there and neither a file nor a folder: a device or a pipe."""
    try:
        mode = path.stat().st_mode
    except (OSError, ValueError):
        return False
    return not (stat.S_ISREG(mode) or stat.S_ISDIR(mode))


def read_text(path: Path) -> str:
    """Read a text file in UTF-8, perhaps with a byte order mark.

    Raises: UnicodeDecodeError; OSError, also for more than 1 MB, as a device gives without end.
    """
    with path.open(encoding="utf-8-sig") as file:
        text = file.read(_MOST_CHARACTERS + 1)
    if len(text) > _MOST_CHARACTERS:
        raise OSError(errno.EFBIG, "it is larger than 1 MB", str(path))
    return text


def write_text(target: Path, text: str) -> None:
    """Write ``text`` to ``target`` as UTF-8, whole or not at all, and flush it to the disk.

    An existing file keeps its permissions. Lone surrogates become ``?``. Raises: OSError.
    """
    with whole_file(target) as temporary:
        with temporary.open("wb") as stream:
            stream.write(text.encode("utf-8", "replace"))
            stream.flush()
            os.fsync(stream.fileno())
        if target.is_file():
            shutil.copymode(target, temporary)
