"""``session.json``: what a conversation was held with, when, and why it ended."""

from __future__ import annotations

import dataclasses
import json
import platform
import re
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import datetime
from functools import cache
from importlib import metadata
from pathlib import Path
from typing import Annotated, Any, get_type_hints

import msgspec
from msgspec import Meta

from covo_cli import __version__
from covo_cli.process.whole_file import write_text
from covo_cli.sessions.files import INFO
from voices.folders import check_readable
from voices.strict_reader import convert

FORMAT = 1
NAME_FORMAT = "%Y-%m-%d_%H-%M-%S"
UNFINISHED = "unfinished: the program was stopped during the conversation"


@dataclass(frozen=True, slots=True)
class SessionInfo:
    """The contents of ``session.json``.

    ``ended`` is None while a conversation is recorded, and if its process died; ``duration`` (in
    seconds) and ``turns`` are None until it is finished or recovered. ``engine`` has the fields of
    :class:`model.engine.EngineInfo`; ``voices`` are those used, in order; ``settings`` those in
    force. ``continues``: name of the session that this one goes on from, or empty.
    """

    started: datetime
    ended: datetime | None = None
    duration: Annotated[float, Meta(ge=0)] | None = None
    turns: int | None = None
    end_reason: str = ""
    engine: dict[str, Any] = field(default_factory=dict)
    voices: tuple[str, ...] = ()
    input_device: str = ""
    output_device: str = ""
    settings: dict[str, Any] = field(default_factory=dict)
    continues: str = ""
    versions: dict[str, Any] = field(default_factory=dict)

    def to_dict(self) -> dict[str, Any]:
        """Return the JSON form."""
        ended = self.ended.isoformat() if self.ended else None
        own = {"started": self.started.isoformat(), "ended": ended, "voices": list(self.voices)}
        return {"format": FORMAT, **dataclasses.asdict(self), **own}


def write_info(folder: Path, info: SessionInfo) -> None:
    """Write ``session.json`` into ``folder``, whole or not at all. Raises: OSError."""
    text = json.dumps(info.to_dict(), indent=2, ensure_ascii=False, default=str)
    write_text(folder / INFO, text + "\n")


@cache
def _fields() -> dict[str, Any]:
    return get_type_hints(SessionInfo, include_extras=True)


def read_info(folder: Path) -> tuple[SessionInfo, list[str]]:
    """Read ``session.json`` of ``folder``; never fails.

    A field that is missing or broken gets its default (``started``: by the folder's name) and a
    warning.
    """
    warnings: list[str] = []
    record: dict[str, Any] = {}
    try:
        check_readable(folder / INFO)
        record = json.loads((folder / INFO).read_text(encoding="utf-8"))
        if not isinstance(record, dict):
            record = {}
            raise ValueError("not a JSON object")
    except FileNotFoundError:
        warnings.append(f"{INFO} is missing")
    except OSError as error:
        warnings.append(f"{INFO} cannot be read: {error.strerror}")
    except (ValueError, RecursionError) as error:
        warnings.append(f"{INFO} is damaged: {error}")

    version = record.pop("format", FORMAT)
    if not isinstance(version, int) or version > FORMAT:
        warnings.append(f"{INFO} has format {version}, newer than this covo knows ({FORMAT})")
    fields: dict[str, Any] = {}
    for name, kind in _fields().items():
        try:
            if record.get(name) is not None:
                value = convert(record[name], kind)
                fields[name] = value.astimezone() if isinstance(value, datetime) else value
        except (ValueError, OverflowError, RecursionError) as error:
            warnings.append(f"{INFO}: {name} {str(error).strip()}")
    return SessionInfo(**{"started": start_of(folder), **fields}), warnings


@dataclass(frozen=True, slots=True)
class _TimeSpan:
    started: datetime
    ended: datetime | None = None


def read_span(folder: Path) -> tuple[datetime, datetime]:
    """Return when the session in ``folder`` began and ended, the latter as far as known.

    Much faster than :func:`read_info`, and as forgiving.
    """
    try:
        check_readable(folder / INFO)
        span = msgspec.json.decode((folder / INFO).read_bytes(), type=_TimeSpan)
        # Written without a time zone, it is a local time.
        started = span.started.astimezone()
        return started, (span.ended or started).astimezone()
    except (OSError, ValueError, OverflowError, RecursionError):
        info, _ = read_info(folder)
        return info.started, info.ended or info.started


def start_of(folder: Path) -> datetime:
    """Return when the session in ``folder`` began: by its name, else by the folder's age."""
    try:
        return datetime.strptime(folder.name[:19], NAME_FORMAT).astimezone()
    except (ValueError, OverflowError):  # renamed by the user
        with suppress(OSError, ValueError, OverflowError):
            return datetime.fromtimestamp(folder.stat().st_mtime).astimezone()
    return datetime.fromtimestamp(0).astimezone()


@cache
def package_versions() -> dict[str, str]:
    """Return the versions of covo, Python, the system and the packages that covo requires."""
    versions = {"covo": __version__, "python": platform.python_version(), "os": platform.platform()}
    try:
        requirements = metadata.requires("covo") or []
    except metadata.PackageNotFoundError:
        requirements = []
    for requirement in requirements:
        if 'extra == "dev"' in requirement or "extra == 'dev'" in requirement:
            continue
        name = re.split(r"[^A-Za-z0-9._-]", requirement, maxsplit=1)[0]
        with suppress(metadata.PackageNotFoundError):  # an optional one
            versions[name] = metadata.version(name)
    return versions
