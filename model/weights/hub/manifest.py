"""``covo.json``: a pulled model's files, sources and accepted licence.

It is written into the model's folder before the first weight arrives, so the folder shows what is
still missing. A file counts as present once it has its final name and size, and it gets the name
only after its digest was checked.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TypeVar

from model.errors import WeightsError
from model.weights.files import StoredFile, written_whole
from voices.strict_reader import read

MANIFEST = "covo.json"
_FORMAT = 1
_T = TypeVar("_T")


@dataclass(frozen=True, slots=True)
class Consent:
    """The acceptance of a licence.

    ``name`` is the licence's, ``sha256`` that of its text, ``revision`` the code repository's
    commit with the text, ``accepted`` the time (ISO 8601, UTC). All but the name are empty where
    nobody needs to accept it.
    """

    name: str
    sha256: str
    revision: str
    accepted: str


@dataclass(frozen=True, slots=True)
class RepoCommit:
    """A repository at a commit."""

    repo: str
    revision: str


@dataclass(frozen=True, slots=True)
class Manifest:
    """The content of a model's folder once its pull has finished."""

    model: str
    hub: RepoCommit
    code: RepoCommit
    licence: Consent
    files: tuple[StoredFile, ...]

    @property
    def size(self) -> int:
        """Total bytes of all files."""
        return sum(file.size for file in self.files)


def read_manifest(folder: Path) -> Manifest | None:
    """Return the manifest in ``folder``, or None without one. Raises: WeightsError."""
    return read_record(folder / MANIFEST, Manifest, _FORMAT)


def write_manifest(folder: Path, manifest: Manifest) -> None:
    """Write ``manifest`` into ``folder``, completely or not at all. Raises: OSError."""
    write_json(folder / MANIFEST, {"format": _FORMAT, **asdict(manifest)})


def read_record(path: Path, kind: type[_T], format: int | None = None) -> _T | None:
    """Return the JSON file ``path`` as a ``kind``, or None without one. Raises: WeightsError."""
    if not path.exists():
        return None
    remedy = "delete it and pull again; complete files are not downloaded twice"
    return read(path, kind, WeightsError, format=format, remedy=remedy)


def write_json(path: Path, values: Mapping[str, object]) -> None:
    """Write ``values`` to ``path``, completely or not at all. Raises: OSError."""
    with written_whole(path) as written:
        written.write_text(f"{json.dumps(values, indent=2)}\n", encoding="utf-8")
