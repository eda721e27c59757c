"""The rooms of the house, and which way the arrows between them point."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests import ROOT

MAY_IMPORT = {
    "audio_io": set(),
    "voices": set(),
    "model": {
        "voices",
        *(f"audio_io.{name}" for name in ("clock", "signal", "levels", "files", "worker")),
    },
    "covo_cli": {"model", "voices", "audio_io"},
}
"""What each room may import: a whole room, or single modules of it."""
HEAVY = {
    *("numpy", "sounddevice", "soundfile", "soxr", "onnxruntime", "ctranslate2", "xllamacpp"),
    *("hibari", "openai", "torch", "torchao", "transformers", "scipy", "matplotlib"),
}


def modules(room: str) -> Iterator[Path]:
    return (ROOT / room).rglob("*.py")


def imported(path: Path, *, top_level_only: bool = False) -> set[str]:
    tree = ast.parse(path.read_text())
    nodes = tree.body if top_level_only else ast.walk(tree)
    names: set[str] = set()
    for node in nodes:
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: relative import"
            names.add(node.module or "")
    return names


@pytest.mark.parametrize("room", MAY_IMPORT)
def test_imports_point_one_way(room):
    files = list(modules(room))
    assert files
    for path in files:
        ours = {name for name in imported(path) if name.split(".")[0] in MAY_IMPORT}
        wrong = {
            name
            for name in ours
            if name.split(".")[0] not in MAY_IMPORT[room] | {room} and name not in MAY_IMPORT[room]
        }
        assert not wrong, f"{path.relative_to(ROOT)} imports {wrong}"


def test_a_conversation_imports_nothing_of_training():
    beside = ("model.duplex.training", "model.duplex.tones")
    for path in modules("model/duplex"):
        if path.parent.name not in ("training", "tones"):
            assert not [name for name in imported(path) if name.startswith(beside)], path


@pytest.mark.parametrize("room", ["audio_io", "model", "voices"])
def test_library_rooms_do_not_print(room):
    for path in modules(room):
        names = {name.split(".")[0] for name in imported(path)}
        assert not names & {"rich", "typer", "blessed", "platformdirs"}, path
        calls = [n.func for n in ast.walk(ast.parse(path.read_text())) if isinstance(n, ast.Call)]
        assert not [f for f in calls if isinstance(f, ast.Name) and f.id == "print"], path


def test_commands_import_nothing_heavy_before_they_run():
    light = [*(ROOT / "covo_cli" / "commands").glob("*.py"), ROOT / "covo_cli" / "app.py"]
    for path in light:
        for name in imported(path, top_level_only=True):
            assert name.split(".")[0] not in HEAVY | {"model", "audio_io", "voices"}, path
