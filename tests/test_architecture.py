"""The rooms of the house: their size, their names, and which way the arrows between them point."""

from __future__ import annotations

import ast
from collections import Counter, defaultdict
from collections.abc import Iterator
from functools import cache
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

import pytest

from tests import ROOT

ROOMS = ("audio_io", "voices", "model", "covo_cli")
GROUND_FLOOR = {f"audio_io.{name}" for name in ("clock", "signal", "levels", "files", "worker")}
BELOW = {f"audio_io.{name}" for name in ("errors", "resample", "channels", "headers")}
"""What the ground floor itself stands on."""
MAY_IMPORT = {
    "audio_io": set(),
    "voices": set(),
    "model": {"voices", *GROUND_FLOOR},
    "covo_cli": {"model", "voices", "audio_io"},
}
"""What each room may import: a whole room, or single modules of it."""

HEAVY = {
    *("numpy", "sounddevice", "soundfile", "soxr", "onnxruntime", "ctranslate2", "xllamacpp"),
    *("hibari", "openai", "torch", "triton", "transformers", "scipy", "matplotlib", "msgspec"),
    *("websockets",),
}
MODULES_PER_FOLDER = 15
LINES_PER_MODULE = 350
LINES_WORTH_A_MODULE = 25


def modules(room: str) -> Iterator[Path]:
    return (ROOT / room).rglob("*.py")


def dotted(path: Path) -> str:
    return ".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__")


@cache
def parsed(path: Path) -> ast.Module:
    return ast.parse(path.read_text())


@cache
def ours() -> dict[str, Path]:
    return {dotted(path): path for room in ROOMS for path in modules(room)}


@cache
def imported(path: Path, *, top_level_only: bool = False) -> set[str]:
    """The modules that ``path`` imports; of ours, the modules that its names really come from."""
    tree = parsed(path)
    names: set[str] = set()
    for node in tree.body if top_level_only else ast.walk(tree):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: relative import"
            module = node.module or ""
            for alias in node.names:
                full = f"{module}.{alias.name}"
                names.add(full if full in ours() else module)
    return names


@cache
def arrows() -> dict[str, set[str]]:
    """Each of our modules, and those of ours that it imports, at whatever depth in its code."""
    return {name: (imported(path) & ours().keys()) - {name} for name, path in ours().items()}


@pytest.mark.parametrize("room", MAY_IMPORT)
def test_imports_point_one_way(room):
    allowed = MAY_IMPORT[room] | {room}
    assert list(modules(room))
    for path in modules(room):
        for name in imported(path):
            top = name.split(".")[0]
            assert top not in MAY_IMPORT or {top, name} & allowed, f"{path} imports {name}"


def test_the_ground_floor_stands_on_nothing_of_ours():
    for name in (GROUND_FLOOR | BELOW) & ours().keys():
        assert arrows()[name] <= GROUND_FLOOR | BELOW, name


def test_no_import_goes_round_in_a_circle():
    try:
        TopologicalSorter(arrows()).prepare()
    except CycleError as error:
        pytest.fail(" -> ".join(error.args[1]))


def test_the_running_engine_imports_nothing_of_its_training():
    beside = tuple(f"model.duplex.{room}" for room in ("training", "tones", "quiz", "making"))
    for name, targets in arrows().items():
        if name.startswith("model.") and not name.startswith(beside):
            assert not {target for target in targets if target.startswith(beside)}, name


def test_only_its_command_knows_how_a_student_is_made():
    for name, targets in arrows().items():
        if not name.startswith("covo_cli.fd.") and name != "covo_cli.commands.fd":
            assert not {target for target in targets if target.startswith("covo_cli.fd.")}, name


def test_processes_are_begun_where_ctrl_c_is_kept_from_them():
    for name, path in ours().items():
        if name != "model.jobs.processes":
            assert "ProcessPoolExecutor" not in path.read_text(), name


def test_the_server_knows_no_screen():
    for name, targets in arrows().items():
        if name.startswith("covo_cli.serve"):
            assert not {target for target in targets if target.startswith("covo_cli.screen")}, name


@pytest.mark.parametrize("room", ["audio_io", "model", "voices"])
def test_library_rooms_do_not_print(room):
    for path in modules(room):
        names = {name.split(".")[0] for name in imported(path)}
        assert not names & {"rich", "typer", "blessed", "platformdirs"}, path
        calls = [node.func for node in ast.walk(parsed(path)) if isinstance(node, ast.Call)]
        assert not [f for f in calls if isinstance(f, ast.Name) and f.id == "print"], path


def test_commands_import_nothing_heavy_before_they_run():
    light = [*(ROOT / "covo_cli" / "commands").rglob("*.py"), ROOT / "covo_cli" / "app.py"]
    for path in light:
        for name in imported(path, top_level_only=True):
            assert name.split(".")[0] not in HEAVY | {"model", "audio_io", "voices"}, path


def test_no_folder_has_more_modules_than_one_takes_in():
    counts = Counter(path.parent for room in (*ROOMS, "tests") for path in modules(room))
    crowded = {str(p.relative_to(ROOT)): n for p, n in counts.items() if n > MODULES_PER_FOLDER}
    assert not crowded


def test_no_module_is_too_long_or_too_short_to_be_one():
    importers = Counter(target for targets in arrows().values() for target in targets)
    for name, path in ours().items():
        lines = len(path.read_text().splitlines())
        assert lines <= LINES_PER_MODULE, f"{name}: {lines} lines"
        if not path.name.startswith("__"):
            worth_it = lines >= LINES_WORTH_A_MODULE or importers[name] > 1
            assert worth_it, f"{name}: {lines} lines, {importers[name]} importer"


def test_no_class_name_has_two_meanings():
    places = defaultdict(list)
    for name, path in ours().items():
        for node in ast.walk(parsed(path)):
            if isinstance(node, ast.ClassDef):
                places[node.name].append(name)
    assert not {name: where for name, where in places.items() if len(where) > 1}
