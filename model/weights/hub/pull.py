"""Pull a model: fetch the missing files, check them, and only then give them their names.

The order makes interruptions harmless. Everything arrives as a part file in ``.downloads/``. Files
that are damaged or of another commit are deleted before the manifest is written, so a file with its
name and size is the right one, and a folder never counts as complete before it is.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from model.errors import WeightsError
from model.weights.files import Progress, PullProgress, StoredFile, check_space, damage
from model.weights.hub.download import Remote
from model.weights.hub.manifest import (
    MANIFEST,
    Consent,
    Manifest,
    RepoCommit,
    read_manifest,
    write_manifest,
)
from model.weights.hub.source import CodeFile, HubModel

_SPARE = 64 << 20
"""Bytes that a pull leaves free."""


@dataclass(frozen=True, slots=True)
class Pull:
    """One pull of ``model`` into ``folder``, under the model's lock."""

    model: HubModel
    folder: Path
    remote: Remote
    progress: Progress

    def run(self, consent: Consent, revision: str) -> list[str]:
        """Fetch the missing and damaged files and return their names.

        ``revision`` is the hub's commit, branch or tag; empty for the first pull's commit.
        Raises: WeightsError, OSError.
        """
        code = self.model.code
        old = read_manifest(self.folder)
        commit, weights = self._weights(old, revision)
        broken = list(damages(self.folder, weights, deep=True, progress=self.progress))
        if broken:
            need = sum(file.size - come(self.folder, file) for file in broken)
            check_space(self.folder, need + _SPARE, self.model.name)
        texts, parts = self._fetch_code(old, consent)
        manifest = Manifest(
            model=self.model.name,
            hub=RepoCommit(self.model.hub.repo, commit),
            code=RepoCommit(code.repo, code.revision),
            licence=consent,
            files=(*weights, *texts),
        )
        fetched = [*parts, *(file.name for file in broken)]
        kept = {file.name for file in manifest.files} - set(fetched)
        earlier = {file.name for file in old.files} if old else set()
        for name in (earlier | set(fetched)) - kept:
            (self.folder / name).unlink(missing_ok=True)
        if manifest != old:
            write_manifest(self.folder, manifest)
        for name, part in parts.items():
            _place(part, self.folder / name)
        self._fetch_weights(commit, broken)
        shutil.rmtree(_downloads(self.folder), ignore_errors=True)
        return fetched

    def _weights(self, old: Manifest | None, revision: str) -> tuple[str, list[StoredFile]]:
        ours = {MANIFEST, *(file.name for file in self.model.code.files)}
        if old is not None and revision in ("", old.hub.revision):
            return old.hub.revision, [file for file in old.files if file.name not in ours]
        self.progress(PullProgress("asking the hub", 0, 0))
        commit, files = self.remote.listing(self.model.hub, revision or self.model.hub.revision)
        return commit, [file for file in files if file.name not in ours]

    def _fetch_code(
        self, old: Manifest | None, consent: Consent
    ) -> tuple[list[StoredFile], dict[str, Path]]:
        """Return all files of the code repository, and the parts of those that were fetched."""
        code = self.model.code
        known = {self.model.licence.file: f"sha256:{consent.sha256}"}
        if old is not None and old.code.revision == code.revision:
            known |= {file.name: file.digest for file in old.files}
        kept = {file.name: file for file in old.files} if old else {}
        files: list[StoredFile] = []
        parts: dict[str, Path] = {}
        for wanted in code.files:
            have = kept.get(wanted.name)
            if (
                have is not None
                and have.digest == known.get(wanted.name)
                and not damage(self.folder, have, deep=True)
            ):
                files.append(have)
                continue
            self.progress(PullProgress(wanted.name, 0, 0))
            part = _downloads(self.folder) / f"{wanted.name.replace('/', '-')}.part"
            file = self.remote.fetch_code(code, wanted, part)
            _check_content(wanted, part)
            if known.get(wanted.name, file.digest) != file.digest:
                raise WeightsError(
                    f"{wanted.path} of {code.repo} differs from the earlier download of the same "
                    f"commit; check the setting models.code_host"
                )
            files.append(file)
            parts[file.name] = part
        return files, parts

    def _fetch_weights(self, commit: str, files: Sequence[StoredFile]) -> None:
        total = sum(file.size for file in files)
        before = 0
        for file in files:

            def tell(come: int, start: int = before, name: str = file.name) -> None:
                self.progress(PullProgress(name, start + come, total))

            part = _part(self.folder, file)
            self.remote.fetch_weights(self.model.hub, commit, file, part, tell)
            _place(part, self.folder / file.name)
            before += file.size


def damages(
    folder: Path, files: Sequence[StoredFile], *, deep: bool, progress: Progress
) -> dict[StoredFile, str]:
    """Return the problem of each of ``files`` that is missing or damaged in ``folder``.

    ``deep``: read every byte, reporting to ``progress``.
    """
    wrong: dict[StoredFile, str] = {}
    total = sum(file.size for file in files)
    done = 0
    for file in files:
        if deep and (folder / file.name).exists():
            progress(PullProgress(f"checking {file.name}", done, total))
        if problem := damage(folder, file, deep=deep):
            wrong[file] = problem
        done += file.size
    return wrong


def _downloads(folder: Path) -> Path:
    return folder / ".downloads"


def _part(folder: Path, file: StoredFile) -> Path:
    return _downloads(folder) / f"{file.digest.partition(':')[2]}.part"


def come(folder: Path, file: StoredFile) -> int:
    """Return the bytes of ``file`` that an earlier pull has fetched."""
    part = _part(folder, file)
    return min(part.stat().st_size, file.size) if part.exists() else 0


def _place(part: Path, target: Path) -> None:
    target.parent.mkdir(parents=True, exist_ok=True)
    part.replace(target)


def _check_content(wanted: CodeFile, path: Path) -> None:
    """Check that ``path`` is the wanted array or JSON object, not some server's error page.

    Raises: WeightsError, OSError.
    """
    try:
        if wanted.shape:
            array = np.load(path, allow_pickle=False)
            if (array.dtype.name, array.shape) != (wanted.dtype, wanted.shape):
                raise ValueError(
                    f"it holds {array.dtype.name} {array.shape} instead of "
                    f"{wanted.dtype} {wanted.shape}"
                )
            if array.dtype.kind == "f" and not np.isfinite(array).all():
                raise ValueError("it holds values that are not numbers")
        elif wanted.name.endswith(".json") and not isinstance(
            json.loads(path.read_text(encoding="utf-8")), dict
        ):
            raise ValueError("it holds no JSON object")
    except (ValueError, EOFError, RecursionError) as error:
        raise WeightsError(
            f"the download of {wanted.path} is something else ({error}); check the setting "
            f"models.code_host and the network, then pull again"
        ) from error
