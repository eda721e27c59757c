"""A session's files, the lock on the one that grows, and what a session can be exported to.

Imports nothing heavy: ``--help`` needs it. The lock is the system's own on the recording itself,
released however its owner dies; filelock would leave a lock file beside it.
"""

from __future__ import annotations

import errno
import os
import sys
from enum import StrEnum
from pathlib import Path

INFO = "session.json"
EVENTS = "events.jsonl"
AUDIO = "audio.flac"
PARTIAL_AUDIO = "audio.part"
TRANSCRIPT = "transcript.md"

PARTIAL_BYTES_PER_SECOND = 24_000 * 2 * 2
"""Size of :data:`PARTIAL_AUDIO`: stereo, 16 bit, 24 kHz."""


class ExportFormat(StrEnum):
    """A format of other programs; the value is the file's extension."""

    MARKDOWN = "md"
    SRT = "srt"
    VTT = "vtt"
    JSON = "json"
    WAV = "wav"


if sys.platform == "win32":
    import msvcrt

    # Windows locks byte ranges and forbids reading them, so lock a byte far beyond the data.
    _FAR_BYTE = 1 << 40

    def try_lock(descriptor: int) -> bool:
        """Lock the open file ``descriptor`` until it is closed; False if another process has it."""
        position = os.lseek(descriptor, 0, os.SEEK_CUR)
        os.lseek(descriptor, _FAR_BYTE, os.SEEK_SET)
        try:
            msvcrt.locking(descriptor, msvcrt.LK_NBLCK, 1)
        except OSError:
            return False
        finally:
            os.lseek(descriptor, position, os.SEEK_SET)
        return True

else:
    import fcntl

    def try_lock(descriptor: int) -> bool:
        """Lock the open file ``descriptor`` until it is closed; False if another process has it."""
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return False
        return True


def open_to_lock(path: Path) -> int:
    """Open ``path`` for :func:`try_lock` and return the descriptor. Raises: OSError.

    NFS locks a file only for who may write it; elsewhere reading is enough.
    """
    try:
        return os.open(path, os.O_RDWR)
    except OSError as error:
        if error.errno not in (errno.EACCES, errno.EPERM, errno.EROFS):
            raise
        return os.open(path, os.O_RDONLY)


def is_locked(path: Path) -> bool:
    """Return whether a living process locks ``path``. Raises: OSError if that cannot be told."""
    descriptor = open_to_lock(path)
    try:
        return not try_lock(descriptor)
    finally:
        os.close(descriptor)
