"""What a client sends, read strictly enough to be used, and the errors it is told."""

from __future__ import annotations

import json
import math
import secrets
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from covo_cli.errors import CliError

MOST_PARTS = 50_000
"""Values of a message; as many as fit into 20 MiB would hold up all sessions for seconds."""

MOST_DEPTH = 64
"""Objects and lists inside each other in a message."""

Fields = Mapping[str, Mapping[str, tuple[type, bool]]]
"""The fields that are read of each event: their type, and whether they must be there."""

REALTIME_FIELDS: Fields = {
    "session.update": {"session": (dict, True)},
    "input_audio_buffer.append": {"audio": (str, True)},
    "input_audio_buffer.commit": {},
    "input_audio_buffer.clear": {},
    "output_audio_buffer.clear": {},
    "conversation.item.create": {"item": (dict, True), "previous_item_id": (str, False)},
    "conversation.item.retrieve": {"item_id": (str, True)},
    "conversation.item.delete": {"item_id": (str, True)},
    "conversation.item.truncate": {"item_id": (str, True), "audio_end_ms": (int, True)},
    "response.create": {"response": (dict, False)},
    "response.cancel": {"response_id": (str, False)},
    "covo.played": {"item_id": (str, True), "audio_ms": (int, True)},
}
"""Events that a client may send."""

_NAMES: dict[type, str] = {str: "a string", dict: "an object", int: "a whole number"}


class WireError(CliError):
    """A client's event cannot be carried out. ``code`` and ``param`` as in OpenAI's errors;
    ``event_id``: the client's id of the event."""

    def __init__(
        self,
        message: str,
        param: str = "",
        code: str = "invalid_value",
        event_id: str | None = None,
    ) -> None:
        super().__init__(message)
        self.param = param
        self.code = code
        self.event_id = event_id

    def told(self, event_id: str | None = None) -> dict[str, Any]:
        """Return the event that tells it; ``event_id``: of the event at fault, if not its own."""
        error: dict[str, Any] = {
            "type": "invalid_request_error",
            "code": self.code,
            "message": str(self),
            "event_id": self.event_id or event_id,
        }
        return {"type": "error", "error": error | ({"param": self.param} if self.param else {})}


@dataclass(frozen=True, slots=True)
class ClientEvent:
    """An event of ``kind`` with its ``fields``; ``event_id`` is the client's, or None."""

    kind: str
    fields: dict[str, Any] = field(repr=False)
    event_id: str | None = None


def read_json(text: str) -> dict[str, Any]:
    """Read an object that a client sends. Raises: WireError."""
    if sum(map(text.count, ",[{")) > MOST_PARTS:
        raise WireError(f"a message may have {MOST_PARTS} values", code="too_large")
    try:
        value = json.loads(text, parse_constant=_no_number, parse_float=_finite)
        if "\\u" in text:  # half a character may be escaped, which no engine can read
            written = json.dumps(value, ensure_ascii=False).encode("utf-8", "replace")
            value = json.loads(written)
    except (ValueError, RecursionError) as error:
        raise WireError("the message is not JSON", code="invalid_json") from error
    if not isinstance(value, dict):
        raise WireError("the message must be an object", code="invalid_json")
    if _deeper(value, MOST_DEPTH):
        raise WireError(f"a message may be {MOST_DEPTH} levels deep", code="too_large")
    return value


def read_event(text: str, events: Fields = REALTIME_FIELDS) -> ClientEvent:
    """Read one of ``events``. Raises: WireError, with the client's ``event_id`` where it can be
    read."""
    value = read_json(text)
    kind, given = value.get("type"), value.get("event_id")
    event_id = given[:512] if isinstance(given, str) else None
    if not isinstance(kind, str) or kind not in events:
        shown = kind if isinstance(kind, str) else "none"
        raise WireError(f"unknown event type: {shown[:80]}", "type", event_id=event_id)
    for name, (wanted, needed) in events[kind].items():
        found = value.get(name)
        if found is None and not needed:
            continue
        if wanted is int and isinstance(found, float):
            found = value[name] = int(found)
        if not isinstance(found, wanted) or isinstance(found, bool):
            message = f"{name} must be {_NAMES[wanted]}"
            raise WireError(message, name, "invalid_type", event_id)
    return ClientEvent(kind, value, event_id)


def _deeper(value: Any, depth: int) -> bool:
    """Return whether ``value`` has more than ``depth`` levels."""
    if not isinstance(value, dict | list):
        return False
    parts = value.values() if isinstance(value, dict) else value
    return depth == 0 or any(_deeper(part, depth - 1) for part in parts)


def _finite(digits: str) -> float:
    number = float(digits)
    if not math.isfinite(number):
        raise ValueError(f"{digits} is too large")
    return number


def _no_number(constant: str) -> None:
    raise ValueError(f"{constant} is not JSON")


def new_id(kind: str) -> str:
    """Return a new id such as ``item_4f…``, at most 32 characters."""
    return f"{kind}_{secrets.token_hex(12)}"
