"""The tool that keeps notes in a file of the session."""

from __future__ import annotations

import errno
import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal

from msgspec import Meta

from model.errors import ToolError
from model.tools.tool import Tool, built_in

NOTES = "notes.md"
"""The file in the session's folder."""
MOST_CHARACTERS = 2_000
"""Longest note."""


@dataclass(frozen=True, slots=True)
class _Note:
    do: Literal["add", "read"]
    text: Annotated[str, Meta(description="The note to add, on one line.")] = ""


def notes_tool(folder: Callable[[], Path | None]) -> Tool:
    """Return the tool that adds lines to the notes and reads them.

    ``folder``: returns the session's folder, None before there is one.
    """

    def use(note: _Note) -> str:
        place = folder()
        if place is None:
            raise ToolError("notes are kept with the recording, and nothing is recorded")
        try:
            return _add(place / NOTES, note.text) if note.do == "add" else _read(place / NOTES)
        except OSError as error:
            raise ToolError(f"the notes cannot be kept: {error.strerror}") from error

    return built_in("notes", "Keep a note of this conversation, or read the notes.", _Note, use)


def _add(file: Path, text: str) -> str:
    """Append ``text`` as one line, whole or not at all, and flush it to the disk."""
    line = " ".join(text.split())
    if not line or len(line) > MOST_CHARACTERS:
        raise ToolError(f"a note has 1 to {MOST_CHARACTERS} characters")
    data = f"- {line}\n".encode()
    file.touch()
    with file.open("r+b", buffering=0) as stream:
        size = _end_of_lines(stream.read())
        stream.seek(size)
        try:
            if stream.write(data) != len(data):
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        except OSError:
            stream.truncate(size)
            raise
        stream.truncate(size + len(data))
        os.fsync(stream.fileno())
    return f"noted: {line}"


def _end_of_lines(content: bytes) -> int:
    """Return where the last whole line ends: a crash may have torn the one after it."""
    return content.rfind(b"\n") + 1


def _read(file: Path) -> str:
    try:
        return file.read_text(encoding="utf-8", errors="replace") or "there are no notes yet"
    except FileNotFoundError:
        return "there are no notes yet"
