"""One setting: its type, range, help and checks, derived from a dataclass field."""

from __future__ import annotations

import contextlib
import dataclasses
import math
import typing
from dataclasses import dataclass
from typing import Any

from covo_cli.settings.text_form import TextForm
from model.secrets import without_secrets
from voices.errors import did_you_mean

Value = bool | int | float | str


def setting(default: Value, help_: str, **declared: Any) -> Any:
    """Declare a dataclass field as a setting; ``declared`` are fields of its :class:`Option`."""
    return dataclasses.field(default=default, metadata={"help": help_, **declared})


@dataclass(frozen=True, slots=True)
class Option:
    """One setting.

    ``choices``: allowed words. ``within``: lowest and highest number. ``flag``: its command-line
    flag. ``engines``: the engines that support it (empty: all). ``must_be_heeded``: other engines
    refuse to start, wherever it was set. ``is_file``: the text is a file path. ``form``: which
    texts there are, where not every one will do.
    """

    section: str
    name: str
    type: type[bool] | type[int] | type[float] | type[str]
    default: Value
    help: str
    choices: tuple[str, ...] = ()
    within: tuple[float, float] | None = None
    flag: str = ""
    engines: tuple[str, ...] = ()
    must_be_heeded: bool = False
    is_file: bool = False
    form: TextForm | None = None

    @property
    def key(self) -> str:
        """The dotted name, as in ``covo config set``."""
        return f"{self.section}.{self.name}"

    @property
    def variable(self) -> str:
        """The environment variable that sets it."""
        return f"COVO_{self.section}_{self.name}".upper()

    @property
    def allowed(self) -> str:
        """The allowed values, for display."""
        if self.choices:
            return " or ".join(self.choices)
        if self.type is bool:
            return "true or false"
        if self.type is str:
            return self.form.allowed if self.form is not None else "text in quotes"
        kind = "a whole number" if self.type is int else "a number"
        if self.within is None:
            return kind
        low, high = self.within
        return f"{kind} from {low:.10g} to {high:.10g}"

    @property
    def personal(self) -> bool:
        """Whether its value may tell something of the user: a path, an address, a name."""
        named = self.choices or (self.form is not None and not self.form.personal)
        return self.type is str and not named

    def check(self, value: object) -> Value:
        """Convert ``value`` to this setting's type. Raises: ValueError."""
        if isinstance(value, bool):
            if self.type is bool:
                return value
        elif isinstance(value, int | float) and self.type in (int, float) and self._fits(value):
            return self.type(value)
        if self.type is str and isinstance(value, str) and self._takes(value):
            return value
        shown = str(value).lower() if isinstance(value, bool) else without_secrets(repr(value))
        hint = self._hint(value) if isinstance(value, str) else ""
        raise ValueError(f"{self.key} cannot be {shown}: it must be {self.allowed}{hint}")

    def parse(self, text: str) -> Value:
        """Parse ``text`` as typed in a shell or set in a variable. Raises: ValueError.

        White space around it does not count, such as the CR that some files of variables leave.
        """
        text = text.strip()
        if self.type is bool:
            return self.check(_WORDS.get(text.lower(), text))
        return self.check(text if self.type is str else _number(text))

    def _takes(self, text: str) -> bool:
        if self.form is not None:
            return self.form.fits(text)
        return text in (self.choices or (text,)) and "\0" not in text  # which no path may have

    def _hint(self, text: str) -> str:
        if self.form is None:
            return did_you_mean(text, self.choices)
        meant = self.form.meant(text)
        return f"; did you mean {meant}?" if meant else ""

    def _fits(self, value: float) -> bool:
        low, high = self.within or (-math.inf, math.inf)
        in_range = low <= value <= high and math.isfinite(value)
        return in_range and (self.type is float or value == int(value))


_WORDS = {"true": True, "yes": True, "on": True, "1": True}
_WORDS |= {"false": False, "no": False, "off": False, "0": False}


def _number(text: str) -> float | str:
    """Convert ``text`` to a number, or return it unchanged."""
    for kind in (int, float):
        with contextlib.suppress(ValueError):
            return kind(text)
    return text


def derive_options(root: type) -> list[Option]:
    """Return the settings in all sections of the dataclass ``root``."""
    options: list[Option] = []
    for section, kind in sections(root).items():
        types = typing.get_type_hints(kind)
        for field in dataclasses.fields(kind):
            default: Any = field.default
            declared = {"engines": getattr(kind, "ENGINES", ()), **field.metadata}
            declared["choices"] = typing.get_args(types[field.name])
            options.append(Option(section, field.name, type(default), default, **declared))
    return options


def sections(root: type) -> dict[str, Any]:
    """Return the dataclass of each section of ``root``."""
    hints = typing.get_type_hints(root)
    return {name: kind for name, kind in hints.items() if dataclasses.is_dataclass(kind)}
