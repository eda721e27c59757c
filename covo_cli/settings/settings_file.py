"""Read the settings file with line numbers and change single values.

Writing is atomic and keeps comments, order and the ends of lines. Of several programs that change
values at once, one waits for the other.
"""

from __future__ import annotations

import os
import re
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from covo_cli.errors import SettingsError
from covo_cli.process import whole_file
from covo_cli.sessions.files import try_lock
from voices.folders import make_folder

if TYPE_CHECKING:
    import tomlkit

_LOCK_LIMIT_S, _LOCK_POLL_S = 10.0, 0.01

_HEADER = re.compile(r"\s*\[\s*([\w-]+)\s*\]")
_ASSIGNMENT = re.compile(r"\s*([\w-]+(?:\s*\.\s*[\w-]+)*)\s*=")


@dataclass(frozen=True, slots=True)
class SettingEntry:
    """One value in the file. ``key`` is dotted; ``place`` is the file and line, for display."""

    key: str
    value: object
    place: str


def read(path: Path) -> list[SettingEntry]:
    """Read the values in the file ``path``, which may be missing. Raises: SettingsError."""
    text = read_text(path)
    return [] if text is None else parse(text, path)


def parse(text: str, path: Path) -> list[SettingEntry]:
    """Parse ``text``, the content of ``path``. Raises: SettingsError."""
    import tomllib

    try:
        tables = tomllib.loads(text)
    except (ValueError, RecursionError) as error:
        raise SettingsError(
            f"{path} is not valid TOML: {error}; fix it with `covo config edit`, or move it away "
            "to start from the defaults"
        ) from error
    lines = _lines(text)
    entries: list[SettingEntry] = []
    for section, table in tables.items():
        values = table if isinstance(table, dict) else {"": table}
        for name, value in values.items():
            key = f"{section}.{name}" if name else section
            line = lines.get(key)
            entries.append(SettingEntry(key, value, f"{path}, line {line}" if line else str(path)))
    return entries


def read_text(path: Path) -> str | None:
    """Read the file's text; None if it is missing. Raises: SettingsError."""
    try:
        return whole_file.read_text(path)
    except FileNotFoundError:
        return None
    except UnicodeDecodeError as error:
        raise SettingsError(
            f"{path} is not UTF-8 (byte {error.start}); move it away to start from the defaults"
        ) from error
    except OSError as error:
        raise SettingsError(f"cannot read the settings file {path}: {error.strerror}") from error


def write_value(path: Path, section: str, name: str, value: bool | float | str) -> None:
    """Set one value, adding its table if needed. Raises: SettingsError."""
    import tomlkit

    with _one_at_a_time(path):
        document = _document(path)
        table = document.get(section)
        if table is None:
            table = document[section] = tomlkit.table()
        elif not isinstance(table, dict):
            raise SettingsError(f"{path}: {section} is not a table; fix it with `covo config edit`")
        table[name] = value
        write_text(path, tomlkit.dumps(document))


def remove_value(path: Path, section: str, name: str) -> bool:
    """Remove one value (``name`` empty: at top level); return whether it was there.

    Raises: SettingsError.
    """
    import tomlkit

    if not _document(path):  # perhaps without a folder to lock
        return False
    with _one_at_a_time(path):
        document = _document(path)
        if not name:
            if section not in document or isinstance(document[section], dict):
                return False
            del document[section]
        else:
            table = document.get(section)
            if not isinstance(table, dict) or name not in table:
                return False
            del table[name]
        write_text(path, tomlkit.dumps(document))
    return True


def write_text(path: Path, text: str) -> None:
    """Replace the file's text atomically. Raises: SettingsError; the file is then unchanged."""
    try:
        text.encode("utf-8")
    except UnicodeEncodeError as error:
        raise SettingsError(
            f"{path} cannot hold {text[error.start : error.end]!r}, which is not Unicode; set it "
            "by its environment variable (covo config show --json)"
        ) from error
    try:
        make_folder(path.parent)
        if path.is_file() and b"\r\n" in path.read_bytes():
            text = re.sub("\r?\n", "\r\n", text)
        whole_file.write_text(path, text)  # through a link, e.g. into a dotfiles folder
    except OSError as error:
        raise _unwritable(path, error) from error


@contextmanager
def _one_at_a_time(path: Path) -> Iterator[None]:
    """Keep other programs from changing the file meanwhile, except on Windows.

    Its folder is locked, because the file is replaced. Raises: SettingsError.
    """
    try:
        make_folder(path.parent)
        # Windows opens no folders, and so locks none.
        folder = None if sys.platform == "win32" else os.open(path.parent, os.O_RDONLY)
    except OSError as error:
        raise _unwritable(path, error) from error
    if folder is None:
        yield
        return
    try:
        until = time.monotonic() + _LOCK_LIMIT_S
        with suppress(OSError):  # a file system without locks
            while not try_lock(folder):
                if time.monotonic() > until:
                    raise SettingsError(f"another program is changing {path}; try again")
                time.sleep(_LOCK_POLL_S)
        yield
    finally:
        os.close(folder)


def _unwritable(path: Path, error: OSError) -> SettingsError:
    return SettingsError(f"cannot write the settings file {path}: {error.strerror or error}")


def _document(path: Path) -> tomlkit.TOMLDocument:
    import tomlkit

    text = read_text(path) or ""
    parse(text, path)  # for its error message
    return tomlkit.parse(text)


def _lines(text: str) -> dict[str, int]:
    """Return the line of each key, found by plain ``[table]`` and ``name = value`` lines."""
    lines: dict[str, int] = {}
    section = ""
    for number, line in enumerate(text.splitlines(), start=1):
        if header := _HEADER.match(line):
            section = header[1]
            lines.setdefault(section, number)
        elif assignment := _ASSIGNMENT.match(line):
            name = re.sub(r"\s", "", assignment[1])
            lines.setdefault(f"{section}.{name}" if section else name, number)
    return lines
