"""``covo train tones``: a world is there whole, or not at all."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from soundfile import LibsndfileError, SoundFile
from typer.testing import CliRunner, Result

pytest.importorskip("torch", reason="needs torch (the covo extra)")
pytest.importorskip("transformers", reason="needs transformers (the covo extra)")

from covo_cli.app import app
from covo_cli.errors import CliError, is_expected
from model.duplex.tones import world

write_dialogue = world.write_dialogue


def make(folder: Path) -> Result:
    return CliRunner().invoke(app, ["train", "tones", str(folder), "--dialogues", "2"])


def test_a_world_is_made(tmp_path: Path) -> None:
    assert make(tmp_path / "new" / "world").exit_code == 0
    assert [path.name for path in (tmp_path / "new").iterdir()] == ["world"]
    world = tmp_path / "new" / "world"
    names = sorted(path.name for path in world.iterdir())
    assert names == ["dialogues", "train.toml", "untrained"]
    assert len(list((world / "dialogues").glob("*.wav"))) == 2
    assert world.stat().st_mode & 0o777 == tmp_path.joinpath("new").stat().st_mode & 0o777
    assert isinstance(make(world).exception, CliError)


@pytest.mark.parametrize("error", [KeyboardInterrupt(), OSError(28, "No space left on device")])
def test_one_that_broke_off_leaves_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, error: BaseException
) -> None:
    def second_fails(path: Path, *rest: object) -> None:
        if path.name == "00001.wav":
            raise error
        write_dialogue(path, *rest)  # type: ignore[arg-type]

    monkeypatch.setattr(world, "write_dialogue", second_fails)
    result = make(tmp_path / "world")
    assert result.exit_code != 0
    if isinstance(error, OSError):
        assert isinstance(result.exception, CliError)
        assert "No space left" in str(result.exception)
    assert list(tmp_path.iterdir()) == []


def test_a_full_disk_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def write(*wanted: object) -> None:
        raise LibsndfileError(2)  # what libsndfile makes of every error of the system

    monkeypatch.setattr(SoundFile, "write", write)
    result = make(tmp_path / "world")
    assert is_expected(result.exception)
    assert re.search(r"cannot write .*00000\.wav .*is the disk full", str(result.exception))
    assert list(tmp_path.iterdir()) == []


def test_a_place_where_it_cannot_be(tmp_path: Path) -> None:
    file = tmp_path / "file"
    file.touch()
    result = make(file / "world")
    assert isinstance(result.exception, CliError)
    assert "cannot write" in str(result.exception)
