"""Read TOML and JSON into typed, frozen structures, rejecting anything that does not fit.

The structure is a dataclass or a :class:`msgspec.Struct`. Its fields may be bool, int, float, str,
enums, ``Literal``, ``Path``, ``X | None``, tuples, lists, dicts and further structures. Ranges are
declared as ``Annotated[float, msgspec.Meta(ge=0)]``; checks across fields raise ValueError in
``__post_init__``. An error reads ``file: table.key what is wrong; what to do``.
"""

from __future__ import annotations

import json
import math
import re
import tomllib
from collections.abc import Callable, Iterable
from functools import cache
from pathlib import Path
from typing import Any, TypeVar

import msgspec
from msgspec import inspect

from voices.errors import did_you_mean

T = TypeVar("T")
ErrorClass = Callable[[str], Exception]

_TYPE_NAMES = {
    "int": "a whole number",
    "float": "a number",
    "str": "text",
    "bool": "a boolean",
    "object": "a table",
    "array": "a list",
    "null": "null",
}


def read(
    path: Path,
    kind: type[T],
    error: ErrorClass,
    *,
    text: str | None = None,
    remedy: str = "",
    format: int | None = None,
    ignore_unknown: bool = False,
) -> T:
    """Read the file ``path``: JSON if its suffix says so, else TOML. Skips a byte-order mark.

    Args:
        text: content to use instead of the file's.
        remedy: how to fix a broken file, appended to every error.
        format: required value of the key ``format``, which is then no field of ``kind``.
        ignore_unknown: skip unknown keys; for third-party files that ``kind`` covers in part.

    Raises: ``error``.
    """
    try:
        return _read(path, kind, text, format, ignore_unknown)
    except (OSError, ValueError) as problem:
        message = str(problem)
        if isinstance(problem, OSError):
            message = f"cannot read {path}: {problem.strerror}"
        elif isinstance(problem, UnicodeDecodeError):
            message = f"{path} is not UTF-8 (byte {problem.start})"
        raise error(f"{message}; {remedy}" if remedy else message) from problem


def _read(
    path: Path, kind: type[T], text: str | None, format: int | None, ignore_unknown: bool
) -> T:
    if text is None:
        text = path.read_text(encoding="utf-8-sig")
    is_json = path.suffix == ".json"
    try:
        values = json.loads(text) if is_json else tomllib.loads(text)
    except (ValueError, RecursionError) as problem:
        language = "JSON" if is_json else "TOML"
        raise ValueError(f"{path} is not valid {language}: {problem}") from problem
    if format is not None and isinstance(values, dict):
        found = values.pop("format", None)
        if found != format:
            shown = "has no format" if found is None else f"has format {found!r}"
            raise ValueError(f"{path} {shown}; this covo reads format = {format}")
    try:
        return convert(values, kind, ignore_unknown=ignore_unknown)
    except (ValueError, RecursionError) as problem:
        raise ValueError(f"{path}: {problem}") from problem


_type_info = cache(inspect.type_info)


def convert(values: object, kind: type[T], *, ignore_unknown: bool = False) -> T:
    """Convert parsed JSON or TOML to ``kind``.

    Raises: ValueError that begins with the dotted key.
    """
    any_kind: Any = kind
    _check(_type_info(any_kind), values, "", ignore_unknown)
    try:
        return msgspec.convert(values, kind, dec_hook=_path)
    except msgspec.ValidationError as problem:
        raise ValueError(_reworded(str(problem))) from problem


def _check(info: inspect.Type, value: Any, place: str, ignore_unknown: bool) -> None:
    """Check what msgspec does not: dataclass keys, choices, finite numbers."""
    match info:
        case inspect.StructType(fields=fields) | inspect.DataclassType(fields=fields):
            if not isinstance(value, dict):
                raise ValueError(f"{place} must be a table, not {value!r}".strip())
            _check_table({f.encode_name: f for f in fields}, value, place, ignore_unknown)
        case inspect.EnumType(cls=cls):
            _check_choice([member.value for member in cls], value, place)
        case inspect.LiteralType(values=choices):
            _check_choice(choices, value, place)
        case inspect.FloatType() if isinstance(value, float) and not math.isfinite(value):
            raise ValueError(f"{place} must be a finite number, not {value}")
        case _:
            for part in _inside(info, value, place):
                _check(*part, ignore_unknown)


def _inside(info: inspect.Type, value: Any, place: str) -> Iterable[tuple[inspect.Type, Any, str]]:
    """Yield the type, value and place of each part of a union, dict, list or tuple."""
    match info:
        case inspect.UnionType(types=types):
            kinds = [kind for kind in types if not isinstance(kind, inspect.NoneType)]
            return [(kinds[0], value, place)] if value is not None and len(kinds) == 1 else ()
        case inspect.DictType(value_type=kind) if isinstance(value, dict):
            return [(kind, one, _join(place, key)) for key, one in value.items()]
        case inspect.ListType(item_type=kind) | inspect.VarTupleType(item_type=kind):
            items = value if isinstance(value, list) else ()
            return [(kind, one, f"{place}[{index}]") for index, one in enumerate(items)]
        case inspect.TupleType(item_types=kinds) if isinstance(value, list):
            both = enumerate(zip(kinds, value, strict=False))  # its length is msgspec's to check
            return [(kind, one, f"{place}[{index}]") for index, (kind, one) in both]
    return ()


def _check_table(
    fields: dict[str, inspect.Field], table: dict[str, Any], place: str, ignore_unknown: bool
) -> None:
    unknown = [key for key in table if key not in fields]
    if unknown and not ignore_unknown:
        hint = did_you_mean(unknown[0], fields) or f"; known: {', '.join(fields)}"
        raise ValueError(f"{_join(place, unknown[0])} is not a known key{hint}")
    for name, field in fields.items():
        if name in table:
            _check(field.type, table[name], _join(place, name), ignore_unknown)
        elif field.required:
            raise ValueError(f"{_join(place, name)} is missing")


def _check_choice(choices: Iterable[object], value: object, place: str) -> None:
    if not any(value == choice and type(value) is type(choice) for choice in choices):
        words = " or ".join(str(choice) for choice in choices)
        raise ValueError(f"{place} must be {words}, not {value!r}")


def _reworded(problem: str) -> str:
    """Rewrite msgspec's message in plain words, place first."""
    message, _, place = problem.partition(" - at `$")
    place = place.removesuffix("`").removeprefix(".")
    if not message.startswith("Expected "):  # raised by a __post_init__
        return f"{place}: {message}" if place else message
    message = message.replace("`str` matching regex '\\\\S'", "text that is not empty")
    message = (
        message.replace(" | null`", "`").replace("Expected", "must be").replace(", got", ", not")
    )
    named = re.sub("`([a-z]+)`", lambda found: _TYPE_NAMES.get(found[1], found[1]), message)
    return f"{place} {named}"


def _path(kind: type, value: object) -> object:
    if kind is Path and isinstance(value, str):
        return Path(value)
    raise ValueError("Expected `str`")


def _join(place: str, key: str) -> str:
    return f"{place}.{key}" if place else key
