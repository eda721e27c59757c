"""The store of weights, with wheels made on the spot and a pip that sees nothing but them."""

from __future__ import annotations

import json
import shutil
import threading
from collections import namedtuple
from dataclasses import replace
from pathlib import Path

import pytest
from typer.testing import CliRunner

from covo_cli.app import app
from model.errors import WeightsError
from model.weights.files import PullProgress, WeightState, locked
from model.weights.manifest import Package, Part, Piece, WeightFile, lite_pieces, parse
from model.weights.packages import WeightStore
from tests.model.weights.wheel_tools import (
    ALPHA,
    BETA_ONE,
    BETA_TWO,
    Index,
    make_wheel,
    sha256,
)


def states(store: WeightStore) -> dict[str, str]:
    return {status.piece.name: status.state.value for status in store.status()}


def test_pull_joins_the_parts_and_leaves_nothing_else(index: Index, tmp_path: Path) -> None:
    store = index.store(tmp_path / "models")
    assert states(store) == {"alpha": "missing", "beta": "missing"}
    told: list[PullProgress] = []
    assert [piece.name for piece in store.pull(told.append)] == ["alpha", "beta"]
    assert store.path("alpha", "a.bin").read_bytes() == ALPHA
    assert store.path("beta", "sub/b.bin").read_bytes() == BETA_ONE + BETA_TWO
    assert [s.state for s in store.verify()] == [WeightState.READY] * 2
    files = sorted(str(p.relative_to(store.folder)) for p in store.folder.rglob("*") if p.is_file())
    assert files == ["alpha/a.bin", "beta/sub/b.bin"]
    total = index.alpha.download + index.beta.download
    assert [p.done for p in told] == sorted(p.done for p in told)
    assert (told[-1].done, told[-1].total) == (total, total)
    assert store.pull() == []


def test_missing_weights_name_the_command(index: Index, tmp_path: Path) -> None:
    store = index.store(tmp_path)
    with pytest.raises(WeightsError, match=r"missing.*covo models pull lite"):
        store.path("alpha", "a.bin")
    with pytest.raises(WeightsError, match="there are: alpha, beta"):
        store.path("gamma", "a.bin")


@pytest.mark.parametrize("spoil", [lambda d: bytes([d[0] ^ 1]) + d[1:], lambda d: d[:-1]])
def test_a_damaged_file_is_refused_and_repaired(index: Index, tmp_path: Path, spoil) -> None:  # type: ignore[no-untyped-def]
    index.fill(tmp_path, index.alpha, index.beta)
    file = tmp_path / "lite" / "alpha" / "a.bin"
    file.write_bytes(spoil(file.read_bytes()))
    store = index.store(tmp_path)
    with pytest.raises(WeightsError, match=r"covo models verify.*covo models pull lite"):
        store.path("alpha", "a.bin")
    with pytest.raises(WeightsError):
        store.whole("alpha")
    assert store.verify()[0].state is WeightState.DAMAGED
    assert [piece.name for piece in store.pull()] == ["alpha"]
    assert store.whole("alpha").joinpath("a.bin").read_bytes() == ALPHA


def test_a_package_with_other_bytes_is_refused(index: Index, tmp_path: Path) -> None:
    make_wheel(index.folder, "fake-alpha", {"fake_alpha/a.bin": b"evil" + ALPHA})
    with pytest.raises(WeightsError, match="other bytes than the pinned ones"):
        index.store(tmp_path / "models").pull()
    assert not list((tmp_path / "models").rglob("a.bin"))


def test_a_file_with_other_bytes_in_the_pinned_package_is_refused(
    index: Index, tmp_path: Path
) -> None:
    package = make_wheel(index.folder, "fake-alpha", {"fake_alpha/a.bin": ALPHA[::-1]})
    piece = Piece("alpha", "", "MIT", "", (package,), index.alpha.files)
    store = WeightStore(
        tmp_path / "models", (piece,), ("--no-index", "--find-links", str(index.folder))
    )
    with pytest.raises(WeightsError, match="not the pinned file"):
        store.pull()
    assert not list((tmp_path / "models" / "lite" / "alpha").iterdir())


def test_an_interrupted_pull_goes_on_at_the_package(index: Index, tmp_path: Path) -> None:
    second = index.wheel("fake-beta-2")
    hidden = second.rename(tmp_path / "hidden.whl")
    with pytest.raises(WeightsError, match=r"could not download fake-beta-2==1\.0.*again"):
        index.store(tmp_path / "models").pull()
    assert states(index.store(tmp_path / "models")) == {"alpha": "ready", "beta": "missing"}
    hidden.rename(second)
    # What had come is not fetched again, so it need not be there any more.
    index.wheel("fake-alpha").unlink()
    index.wheel("fake-beta-1").unlink()
    store = index.store(tmp_path / "models")
    assert [piece.name for piece in store.pull()] == ["beta"]
    assert store.path("beta", "sub/b.bin").read_bytes() == BETA_ONE + BETA_TWO


def test_an_interrupt_by_the_user_leaves_nothing_half_written(index: Index, tmp_path: Path) -> None:
    def press_ctrl_c(progress: PullProgress) -> None:
        if progress.package == "fake-beta-1":
            raise KeyboardInterrupt

    store = index.store(tmp_path / "models")
    index.fill(tmp_path / "models", index.alpha)
    with pytest.raises(KeyboardInterrupt):
        store.pull(press_ctrl_c)
    assert states(store) == {"alpha": "ready", "beta": "missing"}
    assert [piece.name for piece in store.pull()] == ["beta"]


def test_a_full_disk_is_seen_before_anything_is_fetched(
    index: Index, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    usage = namedtuple("usage", "total used free")
    monkeypatch.setattr(shutil, "disk_usage", lambda _: usage(10**9, 10**9 - 5_000_000, 5_000_000))
    with pytest.raises(WeightsError, match=r"only 5\.0 MB are free.*models\.dir"):
        index.store(tmp_path / "models").pull()
    assert not (tmp_path / "models").exists()


def test_a_store_that_cannot_be_written(index: Index, tmp_path: Path) -> None:
    (tmp_path / "models").write_text("a file where the folder should be")
    with pytest.raises(WeightsError, match="cannot write"):
        index.store(tmp_path / "models").pull()


def test_remove(index: Index, tmp_path: Path) -> None:
    store = index.store(tmp_path)
    assert store.remove() == 0
    index.fill(tmp_path, index.alpha, index.beta)
    assert store.pull() == []
    store.path("alpha", "a.bin")
    assert store.remove() == len(ALPHA + BETA_ONE + BETA_TWO)
    with pytest.raises(WeightsError, match="missing"):
        store.path("alpha", "a.bin")


def test_files_of_an_installed_package_are_checked(tmp_path: Path) -> None:
    data = Path(json.__file__).with_name("decoder.py").read_bytes()

    def piece(digest: str) -> Piece:
        file = WeightFile("decoder.py", len(data), digest)
        return Piece("it", "", "PSF", "", (Package("pytest", "1"),), (file,), module="json")

    assert WeightStore(tmp_path, (piece(sha256(data)),)).whole("it").name == "json"
    store = WeightStore(tmp_path, (piece(sha256(b"other")),))
    with pytest.raises(WeightsError, match=r"pip install --force-reinstall --no-deps pytest==1"):
        store.whole("it")
    with pytest.raises(WeightsError, match="pip install"):
        store.pull()


def test_a_wheel_of_another_platform_is_pulled(index: Index, tmp_path: Path) -> None:
    folder, tag = tmp_path / "wheels", "cp37-cp37m-win_amd64"
    folder.mkdir()
    make_wheel(folder, "fake-alpha", {"fake_alpha/a.bin": b"for everybody"})
    package = make_wheel(folder, "fake-alpha", {"fake_alpha/a.bin": ALPHA}, tag)
    piece = replace(index.alpha, packages=(replace(package, tag=tag),))
    store = WeightStore(tmp_path, (piece,), ("--no-index", "--find-links", str(folder)))
    store.pull()
    assert store.path("alpha", "a.bin").read_bytes() == ALPHA


def test_an_installed_piece_whose_package_is_not_there(tmp_path: Path) -> None:
    piece = Piece("it", "", "", "", (Package("not-here", "1"),), (), module="not_here_at_all")
    store = WeightStore(tmp_path, (piece,))
    with pytest.raises(WeightsError, match=r"not-here==1 is not installed.*pip install"):
        store.path("it", "x")
    assert store.status()[0].state is WeightState.MISSING


def test_the_manifest_is_complete() -> None:
    pieces = lite_pieces()
    assert len({piece.name for piece in pieces}) == len(pieces)
    for piece in pieces:
        assert piece.licence in {"MIT", "Apache-2.0", "BSD-2-Clause"}
        assert piece.publisher
        for file in piece.files:
            assert len(file.sha256) == 64
            assert file.size > 0
            assert bool(file.parts) is not bool(piece.module)
            packages = {package.name for package in piece.packages}
            assert {part.package for part in file.parts} <= packages
        if not piece.module:
            assert all(len(package.sha256) == 64 for package in piece.packages)


def test_a_manifest_is_read() -> None:
    piece = parse(
        '[[pieces]]\nname="p"\nwhat="w"\nlicence="MIT"\npublisher="s"\n'
        '[[pieces.packages]]\nname="k"\nversion="2"\nsize=3\nsha256="aa"\n'
        '[[pieces.files]]\nname="f"\nsize=4\nsha256="bb"\nparts=[{package="k",member="in/side"}]\n'
    )[0]
    assert piece.packages[0].requirement == "k==2"
    assert piece.files[0].parts == (Part("k", "in/side"),)
    assert (piece.download, piece.size) == (3, 4)


def test_a_manifest_with_an_unknown_key_names_its_place() -> None:
    with pytest.raises(
        WeightsError, match=r"weights\.toml: pieces\[0\]\.licens is not a known key"
    ):
        parse('[[pieces]]\nname="p"\nwhat="w"\nlicens="MIT"\n')


def test_a_pull_waits_for_that_of_another_process(index: Index, tmp_path: Path) -> None:
    store, told = index.store(tmp_path / "models"), threading.Event()
    index.fill(tmp_path / "models", index.beta)

    def note(progress: PullProgress) -> None:
        if progress.package == "waiting for another pull":
            told.set()

    thread = threading.Thread(target=store.pull, args=(note,))
    with locked(tmp_path / "models", "lite", None):
        thread.start()
        assert told.wait(30)
        with pytest.raises(WeightsError, match="is being pulled by another process"):
            store.remove()
        assert states(store) == {"alpha": "missing", "beta": "ready"}
    thread.join(60)
    assert states(store) == {"alpha": "ready", "beta": "ready"}


@pytest.fixture
def empty_home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("COVO_DATA_DIR", str(tmp_path / "data"))
    monkeypatch.setenv("COVO_CONFIG", str(tmp_path / "config.toml"))
    monkeypatch.delenv("COVO_MODELS_DIR", raising=False)
    return tmp_path


def test_the_commands_without_weights(empty_home: Path) -> None:
    run = CliRunner().invoke
    assert run(app, ["models", "path"]).output.strip() == str(empty_home / "data" / "models")
    listed = run(app, ["models", "list", "--json"])
    assert listed.exit_code == 0
    state = {piece["name"]: piece["state"] for piece in json.loads(listed.output)}
    assert state["whisper-base"] == "missing"
    assert state["hibari"] == "ready"
    verified = run(app, ["models", "verify"])
    assert verified.exit_code == 1
    assert "covo models pull lite" in verified.output
    assert "Freed 0 MB" in run(app, ["models", "remove", "lite", "--yes"]).output
    assert run(app, ["models", "remove", "lite"], input="n\n").exit_code == 1
    unknown = run(app, ["models", "pull", "covo"])
    assert "known: lite" in str(unknown.exception)
