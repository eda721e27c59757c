"""What a tool is, a call of it, and what came of the call."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, TypeVar

from model.characters import read_json
from model.errors import ToolError
from model.events import ToolOutcome
from model.jobs.channel import Cancelled

LIMIT_S = 10.0
"""How long a call may take unless the tool says otherwise."""

TOOL_NAME = r"^[A-Za-z0-9_-]{1,64}$"
"""The names that chat endpoints take."""

Arguments = Mapping[str, Any]
T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class ToolCall:
    """A model's wish to use the tool ``name``. ``arguments`` is JSON, as the model wrote it."""

    id: str
    name: str
    arguments: str

    def parsed(self) -> Arguments:
        """Return the arguments. Raises: ToolError if they are no JSON object."""
        try:
            found = read_json(self.arguments or "{}")
        except ValueError as error:
            raise ToolError(f"the arguments of {self.name} are not valid JSON: {error}") from error
        if not isinstance(found, dict):
            raise ToolError(f"the arguments of {self.name} must be a JSON object")
        return found


@dataclass(frozen=True, slots=True)
class Tool:
    """Something that a model may use.

    ``parameters``: JSON schema of the arguments, an object. ``run`` takes them, stops soon after
    its second argument returns true, and returns the result or raises ToolError. It has
    ``limit_s`` seconds. ``effects``: it changes something outside of the conversation, so the user
    is asked before, with ``question`` if there is one; ``{NAME}`` in it is an argument.
    """

    name: str
    description: str
    parameters: Mapping[str, Any]
    run: Callable[[Arguments, Cancelled], str] = field(repr=False)
    limit_s: float = LIMIT_S
    effects: bool = False
    question: str = ""

    def declared(self) -> dict[str, Any]:
        """Return how a chat endpoint is told of it."""
        function = {
            "name": self.name,
            "description": self.description,
            "parameters": dict(self.parameters),
        }
        return {"type": "function", "function": function}

    def ask(self, arguments: Arguments) -> str:
        """Return the question whether to use it with ``arguments``."""
        if self.question:
            return _FIELD.sub(lambda f: _spoken(arguments.get(f[1], "")), self.question)
        given = ", ".join(f"{name} {_spoken(value)}" for name, value in arguments.items())
        what = self.name.replace("_", " ")
        return f"Shall I use {what}{f' with {given}' if given else ''}?"


@dataclass(frozen=True, slots=True)
class ToolResult:
    """What came of a call: the ``text`` for the model and the user, in one line if it failed."""

    outcome: ToolOutcome
    text: str


def built_in(
    name: str, description: str, kind: type[T], run: Callable[[T], str], **more: Any
) -> Tool:
    """Return a tool whose arguments are the dataclass ``kind``; ``more``: as in :class:`Tool`."""
    import msgspec

    from voices.strict_reader import convert

    def work(arguments: Arguments, stop: Cancelled) -> str:
        try:
            given = convert(dict(arguments), kind)
        except ValueError as error:
            raise ToolError(f"{name}: {error}") from error
        return run(given)

    _, found = msgspec.json.schema_components([kind])
    return Tool(name, description, found[kind.__name__], work, **more)


_FIELD = re.compile(r"\{(\w+)\}")


def _spoken(value: object) -> str:
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
