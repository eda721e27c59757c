"""``covo.json``: what a pulled model consists of, from where, and on which terms.

The file lies in the model's folder and is written before the first weight arrives, so a folder
knows what it still lacks. A file counts as there when it has its final name and size; it gets that
name only after its digest was checked.
"""

from __future__ import annotations

import hashlib
import json
import os
import tempfile
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path, PurePosixPath
from typing import Any

from model.errors import WeightsError

MANIFEST = "covo.json"
_FORMAT = 1


@dataclass(frozen=True, slots=True)
class StoredFile:
    """A file of a model: ``name`` relative to the model's folder (with slashes), ``size`` in bytes,
    ``digest`` as ``sha256:<hex>`` or ``git-sha1:<hex>`` (the id that git gives a blob)."""

    name: str
    size: int
    digest: str


@dataclass(frozen=True, slots=True)
class Consent:
    """That a licence was accepted: its ``name``, the ``sha256`` of its text, the ``revision`` of
    the code repository that the text is from, and ``accepted``, when (ISO 8601, UTC)."""

    name: str
    sha256: str
    revision: str
    accepted: str


@dataclass(frozen=True, slots=True)
class Manifest:
    """What is in the folder of a model, or will be when its pull is finished."""

    model: str
    repo: str
    revision: str
    code_repo: str
    code_revision: str
    consent: Consent
    files: tuple[StoredFile, ...]

    @property
    def size(self) -> int:
        """Bytes of all files together."""
        return sum(file.size for file in self.files)


def read_manifest(folder: Path) -> Manifest | None:
    """The manifest in ``folder``, or None when there is none. Raises: WeightsError."""
    path = folder / MANIFEST
    values = read_json(path)
    if values is None:
        return None
    try:
        if values["format"] != _FORMAT:
            raise WeightsError(
                f"{path} was written by another version of covo; update covo, or delete the file "
                f"and pull again"
            )
        return Manifest(
            model=str(values["model"]),
            repo=str(values["hub"]["repo"]),
            revision=str(values["hub"]["revision"]),
            code_repo=str(values["code"]["repo"]),
            code_revision=str(values["code"]["revision"]),
            consent=Consent(**values["licence"]),
            files=tuple(
                StoredFile(safe_name(file["name"]), int(file["size"]), str(file["digest"]))
                for file in values["files"]
            ),
        )
    except (KeyError, TypeError, ValueError) as error:
        raise WeightsError(
            f"{path} is damaged ({error!r}); delete it and pull again, nothing that is whole will "
            f"be downloaded twice"
        ) from error


def write_manifest(folder: Path, manifest: Manifest) -> None:
    """Write ``manifest`` into ``folder``, whole or not at all. Raises: OSError."""
    write_json(
        folder / MANIFEST,
        {
            "format": _FORMAT,
            "model": manifest.model,
            "hub": {"repo": manifest.repo, "revision": manifest.revision},
            "code": {"repo": manifest.code_repo, "revision": manifest.code_revision},
            "licence": asdict(manifest.consent),
            "files": [asdict(file) for file in manifest.files],
        },
    )


def read_json(path: Path) -> Any:
    """What the JSON file ``path`` holds; None when there is no such file. Raises: WeightsError."""
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except (FileNotFoundError, NotADirectoryError):
        return None
    except (OSError, ValueError) as error:
        raise WeightsError(f"{path} cannot be read ({error}); delete it and pull again") from error


def write_json(path: Path, values: Mapping[str, object]) -> None:
    """Write ``values`` to ``path``, whole or not at all. Raises: OSError."""
    path.parent.mkdir(parents=True, exist_ok=True)
    descriptor, name = tempfile.mkstemp(prefix=".new-", dir=path.parent)
    written = Path(name)
    try:
        with os.fdopen(descriptor, "w", encoding="utf-8") as file:
            json.dump(values, file, indent=2)
            file.write("\n")
        written.chmod(0o644)
        written.replace(path)
    finally:
        written.unlink(missing_ok=True)


def safe_name(name: str) -> str:
    """``name`` when it stays inside a folder, whoever wrote it. Raises: ValueError."""
    path = PurePosixPath(name)
    if not name or path.is_absolute() or ".." in path.parts or set(name) & set('\\:\0"'):
        raise ValueError(f"{name!r} is no name for a file of a model")
    return name


def digest_of(path: Path, kind: str = "sha256") -> str:
    """The digest of the file at ``path``, of the ``kind`` sha256 or git-sha1 (see
    :class:`StoredFile`). Raises: OSError."""
    start = hashlib.sha256()
    if kind == "git-sha1":
        header = f"blob {path.stat().st_size}\0"
        start = hashlib.sha1(header.encode(), usedforsecurity=False)
    with path.open("rb") as file:
        return f"{kind}:{hashlib.file_digest(file, lambda: start).hexdigest()}"


def damage(folder: Path, file: StoredFile, *, deep: bool) -> str:
    """What is wrong with ``file`` in ``folder``, or nothing. ``deep``: read every byte of it."""
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
        return f"{path} cannot be read: {error.strerror}"
    return ""
