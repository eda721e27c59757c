"""The names of a session's files, and writing a file whole or not at all."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

INFO = "session.json"
EVENTS = "events.jsonl"
AUDIO = "audio.flac"
PARTIAL_AUDIO = "audio.part"
TRANSCRIPT = "transcript.md"

PARTIAL_BYTES_PER_SECOND = 24_000 * 2 * 2
"""Stereo, 16 bit, 24 kHz."""


@contextmanager
def whole_file(target: Path) -> Iterator[Path]:
    """A temporary path beside ``target`` that takes its place when the block ends well.

    On any failure the temporary file is removed and ``target`` is what it was. Raises: OSError.
    """
    temporary = target.with_name(f".{target.name}.{os.getpid()}.tmp")
    try:
        yield temporary
        temporary.replace(target)
    finally:
        temporary.unlink(missing_ok=True)


def write_text(target: Path, text: str) -> None:
    """Write ``text`` to ``target``, whole or not at all. Raises: OSError."""
    with whole_file(target) as temporary:
        temporary.write_text(text, encoding="utf-8")
