"""The strict reader: every misfit is an error that names the file and the key."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Literal

import pytest
from msgspec import Meta, Struct, field

from voices.errors import VoiceError
from voices.strict_reader import read


class Colour(StrEnum):
    RED = "red"
    BLUE = "blue"


@dataclass(frozen=True, slots=True)
class Wheel:
    size: Annotated[float, Meta(gt=0, le=3)]
    spokes: int = 20
    colour: Colour = Colour.RED
    kind: Literal["front", "rear"] = "front"


class Bell(Struct, frozen=True):
    stop: int = field(default=0, name="break")


@dataclass(frozen=True, slots=True)
class Bicycle:
    name: Annotated[str, Meta(pattern=r"\S")]
    wheels: tuple[Wheel, ...] = ()
    spare: Wheel | None = None
    named: dict[str, Wheel] | None = None
    bell: Bell = dataclasses.field(default_factory=Bell)
    manual: Path = Path()
    electric: bool = False
    rims: tuple[float, float] = (0.0, 0.0)

    def __post_init__(self) -> None:
        if len(self.wheels) > 2:
            raise ValueError("a bicycle has at most two wheels")


def toml(text: str) -> Bicycle:
    return read(Path("a.toml"), Bicycle, VoiceError, text=text)


def test_toml_and_json_are_read_alike(tmp_path: Path) -> None:
    (tmp_path / "a.toml").write_text(
        "format = 3\nname = 'a'\nwheels = [{size = 1}]\nbell = {break = 7}\nmanual = 'b.txt'",
        encoding="utf-8-sig",
    )
    (tmp_path / "a.json").write_text(
        '{"format": 3, "name": "a", "wheels": [{"size": 1.0}], "bell": {"break": 7}, '
        '"manual": "b.txt"}'
    )
    expected = Bicycle("a", (Wheel(1.0),), bell=Bell(7), manual=Path("b.txt"))
    for name in ("a.toml", "a.json"):
        assert read(tmp_path / name, Bicycle, VoiceError, format=3) == expected


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "name is missing"),
        ("name = ' '", "name must be text that is not empty"),
        ("name = 3", "name must be text, not a whole number"),
        ("name = 'a'\nnmae = 'b'", "nmae is not a known key; did you mean name?"),
        ("name = 'a'\n[spare]\nsize = 0", "spare.size must be a number > 0"),
        ("name = 'a'\n[spare]\nsize = nan", "spare.size must be a finite number, not nan"),
        ("name = 'a'\nrims = [1.0, inf]", "rims[1] must be a finite number, not inf"),
        ("name = 'a'\nrims = [1.0]", "rims must be a list of length 2, not 1"),
        ("name = 'a'\n[spare]\nsize = 1\nspokes = 1.5", "spare.spokes must be a whole number"),
        ("name = 'a'\n[spare]\nsize = 1\ncolour = 'green'", "spare.colour must be red or blue"),
        ("name = 'a'\n[spare]\nsize = 1\nkind = 'mid'", "spare.kind must be front or rear"),
        ("name = 'a'\nspare = 3", "spare must be a table, not 3"),
        ("name = 'a'\nwheels = 3", "wheels must be a list, not a whole number"),
        ("name = 'a'\nwheels = [{size = 1}, {sise = 1}]", "wheels[1].sise is not a known key"),
        ("name = 'a'\n[named.x]\nsize = 1\ny = 2", "named.x.y is not a known key; known: size"),
        ("name = 'a'\nmanual = 3", "manual must be text"),
        ("name = 'a'\nelectric = 1", "electric must be a boolean, not a whole number"),
        ("name = 'a'\nwheels = [{size=1}, {size=1}, {size=1}]", "a bicycle has at most two"),
        ("name = \n", "is not valid TOML: Invalid value (at line 1"),
    ],
)
def test_a_misfit_names_its_place(text: str, message: str) -> None:
    with pytest.raises(VoiceError) as caught:
        toml(text)
    assert str(caught.value).startswith("a.toml")
    assert message in str(caught.value)


def test_the_remedy_follows_every_error(tmp_path: Path) -> None:
    path = tmp_path / "a.json"
    for content, problem in (
        (None, f"cannot read {path}: No such file or directory; delete it"),
        (b"\xff", f"{path} is not UTF-8 (byte 0); delete it"),
        (b"{", f"{path} is not valid JSON: "),
        (b"[" * 100_000, f"{path} is not valid JSON: "),
        (b"[]", f"{path}: must be a table, not []; delete it"),
        (b"{}", f"{path} has no format; this covo reads format = 1; delete it"),
        (b'{"format": 2}', f"{path} has format 2; this covo reads format = 1; delete it"),
        (b'{"format": 1}', f"{path}: name is missing; delete it"),
    ):
        if content is not None:
            path.write_bytes(content)
        with pytest.raises(VoiceError) as caught:
            read(path, Bicycle, VoiceError, format=1, remedy="delete it")
        assert str(caught.value).startswith(problem)
        assert str(caught.value).endswith("; delete it")


def test_foreign_files_may_hold_more() -> None:
    text = '{"name": "a", "spare": {"size": 1, "torch_dtype": "bf16"}, "x": 1}'
    path = Path("config.json")
    read_ = read(path, Bicycle, VoiceError, text=text, ignore_unknown=True)
    assert read_ == Bicycle("a", spare=Wheel(1.0))
    with pytest.raises(VoiceError, match=r"config\.json: x is not a known key"):
        read(path, Bicycle, VoiceError, text='{"name": "a", "x": 1}')
