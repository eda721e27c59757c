"""Read a chat model's calls of tools, which are streamed in fragments of several forms."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any
from uuid import uuid4

from model.characters import whole_text
from model.tools.tool import ToolCall

_NOT_IN_A_NAME = re.compile(r"[^A-Za-z0-9_-]")


def new_call_id() -> str:
    """Return an id of a form that every server takes: some want nine letters and digits."""
    return uuid4().hex[:9]


@dataclass(slots=True)
class _Fragments:
    id: str = ""
    name: str = ""
    arguments: str = ""
    own_id: str = field(default_factory=new_call_id)


class CallReader:
    """Collects the calls of one reply.

    A fragment belongs to the call at its index, or to the last one. It begins another call if it
    has another id: some servers count none, and send each call whole.
    """

    def __init__(self) -> None:
        self._calls: list[_Fragments] = []
        self._at: dict[int, _Fragments] = {}

    @property
    def calls(self) -> tuple[ToolCall, ...]:
        """The calls, as far as they came."""
        return tuple(
            ToolCall(
                whole_text(call.id) or call.own_id, _name(call.name), whole_text(call.arguments)
            )
            for call in self._calls
        )

    def read(self, fragments: Iterable[Mapping[str, Any]]) -> int:
        """Take in the ``tool_calls`` of a message; return the number of its characters."""
        length = 0
        for fragment in fragments:
            function = fragment.get("function") or {}
            name, given = str(function.get("name") or ""), function.get("arguments") or ""
            arguments = given if isinstance(given, str) else json.dumps(given)
            call = self._find(fragment.get("index"), str(fragment.get("id") or ""), name)
            call.name = call.name or name
            call.arguments += arguments
            length += len(name) + len(arguments)
        return length

    def _find(self, index: int | None, id_: str, name: str) -> _Fragments:
        known = self._at.get(index) if index is not None else None
        if index is None and self._calls and not (id_ or name):
            known = self._calls[-1]
        if known is None or (id_ and known.id and id_ != known.id):
            known = _Fragments(id_)
            self._calls.append(known)
        known.id = known.id or id_
        if index is not None:
            self._at[index] = known
        return known


def _name(name: str) -> str:
    """Return ``name`` as it may be sent back: an endpoint would refuse others."""
    return _NOT_IN_A_NAME.sub("_", name)[:64] or "unnamed"
