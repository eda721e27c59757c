"""``session.json``: what a conversation was held with, when, and why it ended."""

from __future__ import annotations

import dataclasses
import json
import platform
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from importlib import metadata
from pathlib import Path
from typing import Any

from covo_cli import __version__
from covo_cli.process.whole_file import write_text
from covo_cli.sessions.files import INFO

FORMAT = 1
NAME_FORMAT = "%Y-%m-%d_%H-%M-%S"
UNFINISHED = "unfinished: the program was stopped before the conversation was over"


@dataclass(frozen=True, slots=True)
class SessionInfo:
    """The contents of ``session.json``.

    ``started`` and ``ended`` are wall-clock times with their zone; ``ended`` is None for a
    conversation that is being recorded or whose process died. ``duration`` in seconds and
    ``turns`` are None until it is finished or recovered. ``engine`` has the fields of
    :class:`model.engine.EngineInfo`; ``voices`` are those used, in order.
    """

    started: datetime
    ended: datetime | None = None
    duration: float | None = None
    turns: int | None = None
    end_reason: str = ""
    engine: Mapping[str, Any] = field(default_factory=dict)
    voices: tuple[str, ...] = ()
    input_device: str = ""
    output_device: str = ""
    settings: Mapping[str, Any] = field(default_factory=dict)
    versions: Mapping[str, str] = field(default_factory=dict)

    def to_dict(self) -> dict[str, Any]:
        """The JSON form."""
        record = {f.name: getattr(self, f.name) for f in dataclasses.fields(self)}
        record["started"] = self.started.isoformat()
        record["ended"] = self.ended.isoformat() if self.ended else None
        record["voices"] = list(self.voices)
        return {"format": FORMAT, **record}


def write_info(folder: Path, info: SessionInfo) -> None:
    """Write ``session.json`` into ``folder``, whole or not at all. Raises: OSError."""
    text = json.dumps(info.to_dict(), indent=2, ensure_ascii=False, default=str)
    write_text(folder / INFO, text + "\n")


def read_info(folder: Path) -> tuple[SessionInfo, list[str]]:
    """Read ``session.json`` of ``folder``; never fails.

    What is missing or broken is left at its default (the beginning is then told by the folder's
    name), and each such thing is a warning in the second result.
    """
    path = folder / INFO
    warnings: list[str] = []
    record: dict[str, Any] = {}
    try:
        loaded = json.loads(path.read_text(encoding="utf-8"))
        if isinstance(loaded, dict):
            record = loaded
        else:
            warnings.append(f"{INFO} is not a JSON object")
    except FileNotFoundError:
        warnings.append(f"{INFO} is missing")
    except OSError as error:
        warnings.append(f"{INFO} cannot be read: {error.strerror}")
    except ValueError as error:
        warnings.append(f"{INFO} is damaged: {error}")

    version = record.get("format", FORMAT)
    if not isinstance(version, int) or version > FORMAT:
        warnings.append(f"{INFO} has format {version}, newer than this covo knows ({FORMAT})")

    fields: dict[str, Any] = {"started": _time(record.get("started")) or start_of(folder)}
    for name, accept in _READERS.items():
        if record.get(name) is None:
            continue
        fields[name] = accept(record[name])
        if fields[name] is None:
            del fields[name]
            warnings.append(f"{INFO} has a bad value for {name}")
    return SessionInfo(**fields), warnings


def start_of(folder: Path) -> datetime:
    """When the session in ``folder`` began: by its name, else by the folder's age."""
    try:
        return datetime.strptime(folder.name[:19], NAME_FORMAT).astimezone()
    except ValueError:
        pass  # renamed by its owner
    try:
        return datetime.fromtimestamp(folder.stat().st_mtime).astimezone()
    except OSError:
        return datetime.fromtimestamp(0).astimezone()


def package_versions() -> dict[str, str]:
    """The versions of covo, Python, the system and the packages that covo requires."""
    versions = {"covo": __version__, "python": platform.python_version(), "os": platform.platform()}
    try:
        requirements = metadata.requires("covo") or []
    except metadata.PackageNotFoundError:
        requirements = []
    for requirement in requirements:
        if 'extra == "dev"' in requirement or "extra == 'dev'" in requirement:
            continue
        name = re.split(r"[^A-Za-z0-9._-]", requirement, maxsplit=1)[0]
        try:
            versions[name] = metadata.version(name)
        except metadata.PackageNotFoundError:
            continue  # an optional one
    return versions


def _time(value: object) -> datetime | None:
    try:
        return datetime.fromisoformat(value).astimezone() if isinstance(value, str) else None
    except ValueError:
        return None


def _number(value: object) -> float | None:
    good = isinstance(value, int | float) and not isinstance(value, bool) and value >= 0
    return value if good else None  # type: ignore[return-value]


def _count(value: object) -> int | None:
    return value if isinstance(value, int) and not isinstance(value, bool) else None


def _text(value: object) -> str | None:
    return value if isinstance(value, str) else None


def _mapping(value: object) -> Mapping[str, Any] | None:
    return value if isinstance(value, dict) else None


def _names(value: object) -> tuple[str, ...] | None:
    good = isinstance(value, list) and all(isinstance(name, str) for name in value)
    return tuple(value) if good else None  # type: ignore[arg-type]


_READERS = {
    "ended": _time,
    "duration": _number,
    "turns": _count,
    "end_reason": _text,
    "engine": _mapping,
    "voices": _names,
    "input_device": _text,
    "output_device": _text,
    "settings": _mapping,
    "versions": _mapping,
}
