"""What is kept of the work on disk: stages with their manifests, and records that grow.

A manifest names everything that a stage's output depends on: the recipe's numbers, the seed, and
the digests of its inputs. It holds no times, so the same work gives the same bytes, stopped or not.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Generic, TypeVar

import msgspec
import numpy as np

from covo_cli.errors import CliError
from covo_cli.fd.records import ANSWERS, DIALOGUES, ENCODER, QUESTIONS
from covo_cli.process.whole_file import write_text
from model.covo.loading.weight_files import shards
from voices import strict_reader
from voices.folders import make_folder

MANIFEST = "manifest.json"

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class _Manifest:
    complete: bool
    inputs: dict[str, Any]
    counts: dict[str, Any] = field(default_factory=dict)
    dropped: dict[str, int] = field(default_factory=dict)
    sha256: dict[str, str] = field(default_factory=dict)


class Stage:
    """A stage in its own ``folder``, made from ``inputs``.

    It is begun, or gone on with. Raises: CliError if it was begun with other inputs, or there are
    files that no manifest tells of.
    """

    def __init__(self, folder: Path, inputs: Mapping[str, Any]) -> None:
        self.folder = folder
        self._inputs = json.loads(json.dumps(inputs))
        before = _manifest(folder)
        self.complete = before is not None and before.complete
        if before is not None and before.inputs != self._inputs:
            changed = [k for k in self._inputs if before.inputs.get(k) != self._inputs[k]]
            raise CliError(
                f"{folder} was begun with another {' and '.join(changed) or 'set of inputs'}; "
                "delete the folder to begin again, or restore what it was begun with"
            )
        make_folder(folder)
        if not self.complete:
            for part in folder.rglob("*.part"):  # of a file that was being written when killed
                part.unlink()
        if before is None:
            if any(not path.name.startswith(".") for path in folder.iterdir()):
                raise CliError(
                    f"{folder} has files, but no {MANIFEST} that tells what they were made of; "
                    "delete the folder to begin again"
                )
            self._write({"complete": False, "inputs": self._inputs})

    def finish(self, counts: Mapping[str, Any], dropped: Mapping[str, int], *made: str) -> None:
        """Record that the stage is complete, with the digests of the files ``made``."""
        digests = {name: digest(self.folder / name) for name in made}
        self._write(
            {
                "complete": True,
                "inputs": self._inputs,
                "counts": counts,
                "dropped": dict(sorted(dropped.items())),
                "sha256": digests,
            }
        )
        self.complete = True

    def _write(self, values: Mapping[str, Any]) -> None:
        text = json.dumps(values, indent=1, ensure_ascii=False)
        write_text(self.folder / MANIFEST, text + "\n")


def require(folder: Path, command: str) -> str:
    """Return the digest of a complete stage's manifest.

    Raises: CliError if it is incomplete, its files are not those that it made, or the stage before
    it was made anew.
    """
    found, again = _manifest(folder), f"run `covo fd {command} {folder.parent}`"
    if found is None or not found.complete:
        raise CliError(f"{folder} is not complete; {again} first")
    for name, made in found.sha256.items():
        if not (folder / name).is_file() or digest(folder / name) != made:
            raise CliError(
                f"{folder / name} is not what the stage made; delete {folder} and {again} again"
            )
    for name in (QUESTIONS, ANSWERS, DIALOGUES, ENCODER):
        before = folder.parent / name / MANIFEST
        if name in found.inputs and before.is_file() and digest(before) != found.inputs[name]:
            raise CliError(f"{folder} was made of other {name}; delete it and {again} again")
    return digest(folder / MANIFEST)


def summary(folder: Path) -> Iterator[str]:
    """Yield what a complete stage's manifest tells, line by line."""
    found = _manifest(folder)
    if found is None:
        return
    for title, counts in (("", found.counts), ("dropped: ", found.dropped)):
        for name, count in counts.items():
            if not isinstance(count, dict):
                yield f"{title}{name}: {count}"


def tenths(losses: Iterable[float]) -> list[float]:
    """Return the mean of each tenth of ``losses``; of fewer than ten, each of them."""
    found = [*losses]
    parts = np.array_split(found, min(10, len(found)) or 1)
    return [round(float(part.mean()), 6) for part in parts if len(part)]


def weights_digest(folder: Path) -> str:
    """Return the digest of the checkpoint in ``folder``. Raises: WeightsError.

    Reads all of its weights: half a minute for those of the published size.
    """
    files = (folder / "config.json", *shards(folder))
    return hashlib.sha256("".join(map(digest, files)).encode()).hexdigest()


def digest(path: Path) -> str:
    """Return the sha256 of a file."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _manifest(folder: Path) -> _Manifest | None:
    path = folder / MANIFEST
    if not path.is_file():
        return None
    remedy = f"delete {folder} to begin again"
    return strict_reader.read(path, _Manifest, CliError, remedy=remedy)


class Journal(Generic[T]):
    """Records of a ``kind``, a line of JSON each, that grow until a stage is complete.

    A last line that a kill left unfinished is cut off. Raises: CliError if a line is damaged.
    """

    def __init__(self, path: Path, kind: type[T]) -> None:
        self.path = path
        self._kind = kind
        self._ends = [0]
        path.touch()
        with path.open("r+b") as file:
            for line in file:
                if line.endswith(b"\n"):
                    self._ends.append(self._ends[-1] + len(line))
            file.truncate(self._ends[-1])

    def __len__(self) -> int:
        return len(self._ends) - 1

    def __getitem__(self, index: int) -> T:
        begin, end = self._ends[index], self._ends[index + 1]
        with self.path.open("rb") as file:
            file.seek(begin)
            line = file.read(end - begin)
        try:
            return msgspec.json.decode(line, type=self._kind)
        except (msgspec.MsgspecError, RecursionError) as error:
            raise CliError(
                f"{self.path}, line {index + 1}: {error}; delete {self.path.parent} to begin again"
            ) from error

    def __iter__(self) -> Iterator[T]:
        return (self[index] for index in range(len(self)))

    def keep(self, count: int) -> None:
        """Forget all but the first ``count`` records."""
        del self._ends[count + 1 :]
        with self.path.open("r+b") as file:
            file.truncate(self._ends[-1])

    def append(self, records: Sequence[T]) -> None:
        """Add ``records`` at the end."""
        with self.path.open("ab") as file:
            for record in records:
                line = msgspec.json.encode(record) + b"\n"
                file.write(line)
                self._ends.append(self._ends[-1] + len(line))
