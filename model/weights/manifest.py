"""The embedded engine's weights: ``weights.toml`` as frozen dataclasses."""

from __future__ import annotations

from dataclasses import dataclass
from importlib import resources
from pathlib import Path

from model.errors import WeightsError
from model.weights.files import StoredFile
from voices.strict_reader import read


@dataclass(frozen=True, slots=True)
class Package:
    """A wheel of the package index, of ``size`` bytes and with its ``sha256``.

    ``tag`` names one wheel of a package that has several, such as ``cp311-cp311-win_amd64``. Its
    data serve on every platform.
    """

    name: str
    version: str
    size: int = 0
    sha256: str = ""
    tag: str = ""

    @property
    def requirement(self) -> str:
        """The exact version, as pip writes it."""
        return f"{self.name}=={self.version}"


@dataclass(frozen=True, slots=True)
class Part:
    """One member of a wheel."""

    package: str
    member: str


@dataclass(frozen=True, slots=True)
class WeightFile:
    """A file of the store, made by joining ``parts``; ``sha256`` and ``size`` are of the whole.

    ``q8_0``: the parts are a GGUF file of Q4_1 weights, which are kept in Q8_0.
    """

    name: str
    size: int
    sha256: str
    parts: tuple[Part, ...] = ()
    q8_0: bool = False

    @property
    def stored(self) -> StoredFile:
        """The file as it lies in its piece's folder."""
        return StoredFile(self.name, self.size, f"sha256:{self.sha256}")


@dataclass(frozen=True, slots=True)
class Piece:
    """The weights of one part of the engine.

    ``module`` names an installed Python module whose own files these are; such a piece is checked
    but never pulled. It is empty for a piece in the store.
    """

    name: str
    what: str
    licence: str
    publisher: str
    packages: tuple[Package, ...]
    files: tuple[WeightFile, ...]
    module: str = ""

    @property
    def size(self) -> int:
        """Total bytes of its files."""
        return sum(file.size for file in self.files)

    @property
    def download(self) -> int:
        """Total bytes of its wheels."""
        return sum(package.size for package in self.packages)

    @property
    def most_aside(self) -> int:
        """Bytes that a pull needs beside its files, at most."""
        return self.download + sum(file.size for file in self.files if file.q8_0)

    def file(self, name: str) -> WeightFile:
        """Return the file called ``name``. Raises: KeyError."""
        return {file.name: file for file in self.files}[name]


@dataclass(frozen=True, slots=True)
class _Pieces:
    pieces: tuple[Piece, ...]


def parse(text: str) -> tuple[Piece, ...]:
    """Return the pieces in ``text``, written like ``weights.toml``. Raises: WeightsError."""
    return read(Path("weights.toml"), _Pieces, WeightsError, text=text).pieces


def lite_pieces() -> tuple[Piece, ...]:
    """Return the pieces of the embedded engine."""
    return parse(resources.files("model.weights").joinpath("weights.toml").read_text("utf-8"))
