"""One thing to set: its type, range, help and checks, derived from a dataclass field."""

from __future__ import annotations

import contextlib
import dataclasses
import difflib
import math
import typing
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

Value = bool | int | float | str


def setting(
    default: Value,
    help_: str,
    *,
    choices: tuple[str, ...] = (),
    within: tuple[float, float] | None = None,
) -> Any:
    """A dataclass field that :func:`derive_options` makes an :class:`Option` of."""
    metadata = {"help": help_, "choices": choices, "within": within}
    return dataclasses.field(default=default, metadata=metadata)


@dataclass(frozen=True, slots=True)
class Option:
    """One thing to set. ``within``: lowest and highest value of a number."""

    section: str
    name: str
    type: type[bool] | type[int] | type[float] | type[str]
    default: Value
    help: str
    choices: tuple[str, ...] = ()
    within: tuple[float, float] | None = None

    @property
    def key(self) -> str:
        """Its dotted name, as in ``covo config set``."""
        return f"{self.section}.{self.name}"

    @property
    def variable(self) -> str:
        """The environment variable that sets it."""
        return f"COVO_{self.section}_{self.name}".upper()

    @property
    def allowed(self) -> str:
        """What it may be, for people."""
        if self.choices:
            return " or ".join(self.choices)
        if self.type is bool:
            return "true or false"
        if self.type is str:
            return "text in quotes"
        kind = "a whole number" if self.type is int else "a number"
        if self.within is None:
            return kind
        low, high = self.within
        return f"{kind} from {low:.10g} to {high:.10g}"

    def check(self, value: object) -> Value:
        """``value`` as this option's type. Raises: ValueError that says what is allowed."""
        if isinstance(value, bool):
            if self.type is bool:
                return value
        elif isinstance(value, int | float) and self.type in (int, float) and self._fits(value):
            return self.type(value)
        if self.type is str and isinstance(value, str) and value in (self.choices or (value,)):
            return value
        shown = str(value).lower() if isinstance(value, bool) else repr(value)
        hint = nearest(value, self.choices) if isinstance(value, str) else ""
        raise ValueError(f"{self.key} cannot be {shown}: it must be {self.allowed}{hint}")

    def parse(self, text: str) -> Value:
        """The value that ``text`` stands for, as typed in a shell. Raises: ValueError."""
        if self.type is bool:
            return self.check(_WORDS.get(text.strip().lower(), text))
        return self.check(text if self.type is str else _number(text))

    def _fits(self, value: float) -> bool:
        low, high = self.within or (-math.inf, math.inf)
        in_range = low <= value <= high and math.isfinite(value)
        return in_range and (self.type is float or value == int(value))


_WORDS = {"true": True, "yes": True, "on": True, "1": True}
_WORDS |= {"false": False, "no": False, "off": False, "0": False}


def _number(text: str) -> float | str:
    """``text`` as a number, or as it is when it is none."""
    for kind in (int, float):
        with contextlib.suppress(ValueError):
            return kind(text)
    return text


def derive_options(root: type) -> list[Option]:
    """The options in the dataclass ``root``: the fields of those fields that are dataclasses."""
    options: list[Option] = []
    for section, kind in sections(root).items():
        types = typing.get_type_hints(kind)
        for f in dataclasses.fields(kind):
            default: Any = f.default
            options.append(Option(section, f.name, types[f.name], default, **f.metadata))
    return options


def sections(root: type) -> dict[str, Any]:
    """The dataclass of each of ``root``'s fields that is of one."""
    hints = typing.get_type_hints(root)
    return {name: kind for name, kind in hints.items() if dataclasses.is_dataclass(kind)}


def nearest(word: str, known: Iterable[str]) -> str:
    """A hint at the word of ``known`` that is most like ``word``; empty when none is."""
    near = difflib.get_close_matches(word, list(known), n=1)
    return f"; did you mean {near[0]}?" if near else ""
