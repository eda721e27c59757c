"""Wheels made on the spot, and a store whose pip sees nothing but them."""

from __future__ import annotations

import hashlib
import zipfile
from pathlib import Path

from model.weights.manifest import Package, Part, Piece, WeightFile
from model.weights.packages import WeightStore

ALPHA = b"alpha" * 1000
BETA_ONE, BETA_TWO = b"first half," * 500, b"second half" * 500


def sha256(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


def make_wheel(
    folder: Path, name: str, members: dict[str, bytes], tag: str = "py3-none-any"
) -> Package:
    module = name.replace("-", "_")
    path = folder / f"{module}-1.0-{tag}.whl"
    info = f"{module}-1.0.dist-info"
    with zipfile.ZipFile(path, "w") as archive:
        for member, data in members.items():
            archive.writestr(member, data)
        archive.writestr(f"{info}/METADATA", f"Metadata-Version: 2.1\nName: {name}\nVersion: 1.0\n")
        archive.writestr(
            f"{info}/WHEEL", f"Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: {tag}\n"
        )
        archive.writestr(f"{info}/RECORD", "")
    data = path.read_bytes()
    return Package(name, "1.0", len(data), sha256(data))


class Index:
    """A folder of wheels, and the two pieces that are made of them."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        folder.mkdir()
        # Whoever imports or installs a data package is told so.
        trap = {"fake_alpha/__init__.py": b"raise SystemExit('imported')"}
        alpha = make_wheel(folder, "fake-alpha", {"fake_alpha/a.bin": ALPHA, **trap})
        one = make_wheel(folder, "fake-beta-1", {"fake_beta_1/part": BETA_ONE})
        two = make_wheel(folder, "fake-beta-2", {"fake_beta_2/part": BETA_TWO})
        self.alpha = Piece(
            name="alpha",
            what="the first",
            licence="MIT",
            publisher="someone",
            packages=(alpha,),
            files=(
                WeightFile(
                    "a.bin", len(ALPHA), sha256(ALPHA), (Part("fake-alpha", "fake_alpha/a.bin"),)
                ),
            ),
        )
        whole = BETA_ONE + BETA_TWO
        parts = (Part("fake-beta-1", "fake_beta_1/part"), Part("fake-beta-2", "fake_beta_2/part"))
        self.beta = Piece(
            name="beta",
            what="the second",
            licence="MIT",
            publisher="someone",
            packages=(one, two),
            files=(WeightFile("sub/b.bin", len(whole), sha256(whole), parts),),
        )

    def wheel(self, name: str) -> Path:
        return self.folder / f"{name.replace('-', '_')}-1.0-py3-none-any.whl"

    def fill(self, root: Path, *pieces: Piece) -> None:
        """Put what a pull of ``pieces`` would write under ``root``; pip takes a second each."""
        for piece in pieces:
            for file in piece.files:
                path = root / "lite" / piece.name / file.name
                path.parent.mkdir(parents=True)
                path.write_bytes(ALPHA if piece is self.alpha else BETA_ONE + BETA_TWO)

    def store(self, root: Path) -> WeightStore:
        options = ("--no-index", "--find-links", str(self.folder))
        return WeightStore(root, (self.alpha, self.beta), options)
