"""The wheel: is everything in it that the program reads."""

from __future__ import annotations

import pytest

from tests import ROOT
from tests.test_architecture import ROOMS

wheel = pytest.importorskip("hatchling.builders.wheel", reason="needs hatchling (the dev extra)")


def test_the_wheel_has_every_file_of_the_rooms_and_nothing_else():
    builder = wheel.WheelBuilder(str(ROOT))
    packed = {file.distribution_path for file in builder.recurse_included_files()}
    there = {
        path.relative_to(ROOT).as_posix()
        for room in ROOMS
        for path in (ROOT / room).rglob("*")
        if path.is_file() and "__pycache__" not in path.parts
    }
    assert packed == there
    for kind in (".toml", ".json", ".flac", ".js", ".html", ".css", ".bin", ".txt"):
        assert any(name.endswith(kind) for name in packed), kind
