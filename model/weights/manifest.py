"""Which weights the embedded engine is made of: ``weights.toml`` as frozen dataclasses."""

from __future__ import annotations

import tomllib
from dataclasses import dataclass
from importlib import resources
from typing import Any


@dataclass(frozen=True, slots=True)
class Package:
    """A wheel on the package index: ``size`` in bytes and ``sha256`` of the wheel itself."""

    name: str
    version: str
    size: int = 0
    sha256: str = ""

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
    """A file of the store, made by joining ``parts``; ``sha256`` and ``size`` are of the whole."""

    name: str
    size: int
    sha256: str
    parts: tuple[Part, ...] = ()


@dataclass(frozen=True, slots=True)
class Piece:
    """The weights of one part of the engine.

    ``module``: the name of the installed Python module whose own files these are; such a piece is
    checked but never pulled. Empty for a piece that lives in the store.
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
        """Bytes of its files together."""
        return sum(file.size for file in self.files)

    @property
    def download(self) -> int:
        """Bytes of its wheels together."""
        return sum(package.size for package in self.packages)

    def file(self, name: str) -> WeightFile:
        """The file called ``name``. Raises: KeyError."""
        return {file.name: file for file in self.files}[name]


def parse(text: str) -> tuple[Piece, ...]:
    """The pieces that the TOML ``text`` describes (the layout is that of ``weights.toml``)."""
    return tuple(_piece(entry) for entry in tomllib.loads(text)["piece"])


def lite_pieces() -> tuple[Piece, ...]:
    """The pieces of the embedded engine."""
    return parse(resources.files("model.weights").joinpath("weights.toml").read_text("utf-8"))


def _piece(entry: dict[str, Any]) -> Piece:
    packages = tuple(Package(**package) for package in entry.pop("package"))
    files = tuple(
        WeightFile(
            name=file["name"],
            size=file["size"],
            sha256=file["sha256"],
            parts=tuple(Part(*part.split(":", 1)) for part in file.get("parts", ())),
        )
        for file in entry.pop("file")
    )
    return Piece(packages=packages, files=files, **entry)
