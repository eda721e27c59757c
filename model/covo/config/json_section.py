"""Typed reading of a JSON file, with errors that name the file and the key."""

from __future__ import annotations

import json
from pathlib import Path

from model.errors import NetworkConfigError

_ABSENT = object()


class JsonSection:
    """One object of a JSON file; ``where`` names the file and the way to the object."""

    def __init__(self, values: dict[str, object], where: str) -> None:
        self._values = values
        self.where = where

    def has(self, key: str) -> bool:
        """Whether ``key`` is there and not null."""
        return self._values.get(key) is not None

    def require(self, key: str, wanted: object) -> None:
        """Accept ``wanted`` under ``key``, or nothing there. Raises: NetworkConfigError."""
        value = self._values.get(key, wanted)
        if value != wanted:
            raise NetworkConfigError(
                f"{self.where}: {key} is {value!r}; only {wanted!r} is supported"
            )

    def section(self, key: str) -> JsonSection:
        """The object under ``key``. Raises: NetworkConfigError."""
        value = self._get(key)
        if not isinstance(value, dict):
            raise self._wrong(key, value, "an object")
        return JsonSection(value, f"{self.where}: {key}")

    def integer(self, key: str, default: int | None = None) -> int:
        """The number under ``key``, which must be positive. Raises: NetworkConfigError."""
        value = self._get(key, default)
        if not _is_count(value):
            raise self._wrong(key, value, "a positive whole number")
        return value  # type: ignore[return-value]  # _is_count has looked

    def number(self, key: str, default: float | None = None) -> float:
        """The number under ``key``. Raises: NetworkConfigError."""
        value = self._get(key, default)
        if not isinstance(value, int | float) or isinstance(value, bool):
            raise self._wrong(key, value, "a number")
        return float(value)

    def optional_number(self, key: str) -> float | None:
        """The number under ``key``, or None for null or nothing. Raises: NetworkConfigError."""
        return self.number(key) if self.has(key) else None

    def flag(self, key: str, default: bool | None = None) -> bool:
        """True or false under ``key``. Raises: NetworkConfigError."""
        value = self._get(key, default)
        if not isinstance(value, bool):
            raise self._wrong(key, value, "true or false")
        return value

    def text(self, key: str, default: str | None = None) -> str:
        """The string under ``key``. Raises: NetworkConfigError."""
        value = self._get(key, default)
        if not isinstance(value, str):
            raise self._wrong(key, value, "a string")
        return value

    def texts(self, key: str) -> tuple[str, ...]:
        """The list of strings under ``key``. Raises: NetworkConfigError."""
        value = self._get(key)
        if not isinstance(value, list) or not all(isinstance(v, str) for v in value):
            raise self._wrong(key, value, "a list of strings")
        return tuple(value)

    def ids(self, key: str) -> tuple[int, ...]:
        """The list, maybe empty, of numbers from 0 on under ``key``. Raises: NetworkConfigError."""
        value = self._get(key)
        if not isinstance(value, list) or not all(_is_count(v) or v == 0 for v in value):
            raise self._wrong(key, value, "a list of token ids")
        return tuple(value)

    def integers(self, key: str) -> tuple[int, ...]:
        """The list of positive numbers under ``key``. Raises: NetworkConfigError."""
        return self._row(key, self._get(key))

    def integer_rows(self, key: str) -> tuple[tuple[int, ...], ...]:
        """The list of lists of positive numbers under ``key``. Raises: NetworkConfigError."""
        value = self._get(key)
        if not isinstance(value, list):
            raise self._wrong(key, value, "a list of lists")
        return tuple(self._row(key, row) for row in value)

    def _row(self, key: str, value: object) -> tuple[int, ...]:
        if not isinstance(value, list) or not value or not all(map(_is_count, value)):
            raise self._wrong(key, value, "a list of positive whole numbers")
        return tuple(value)

    def _get(self, key: str, default: object = None) -> object:
        value = self._values.get(key, _ABSENT)
        if value is not _ABSENT:
            return value
        if default is None:
            raise NetworkConfigError(
                f"{self.where}: {key} is missing; is this the file of a Covo-Audio model?"
            )
        return default

    def _wrong(self, key: str, value: object, wanted: str) -> NetworkConfigError:
        return NetworkConfigError(f"{self.where}: {key} is {value!r}, not {wanted}")


def read_json(path: Path) -> JsonSection:
    """The object in the JSON file ``path``. Raises: NetworkConfigError."""
    try:
        values = json.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise NetworkConfigError(f"{path} cannot be read: {error.strerror}") from error
    except ValueError as error:
        raise NetworkConfigError(f"{path} is not JSON: {error}") from error
    if not isinstance(values, dict):
        raise NetworkConfigError(f"{path} holds no JSON object")
    return JsonSection(values, str(path))


def _is_count(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and value > 0
