"""What a client asks for when it starts a session of GPT-Live, and the session as it is told."""

from __future__ import annotations

import copy
from typing import Any

from openai.types.live import SessionResource
from pydantic import ValidationError

from audio_io.clock import ASSISTANT_RATE
from covo_cli.serve.realtime.items import MOST_TEXT
from covo_cli.serve.realtime.session_object import ServedEngine
from covo_cli.serve.realtime.sound import SoundFormat
from covo_cli.serve.realtime.wire import WireError

MOST_MESSAGES = 128
"""Messages that a session may begin with."""

_RATES = (ASSISTANT_RATE, 16_000)


class LiveResource:
    """The session ``asked`` for, with the engine ``served``. Raises: WireError.

    ``value`` is what clients are told; ``voice`` is empty where none of ours is asked for.
    """

    def __init__(
        self, asked: dict[str, Any], served: ServedEngine, session_id: str, expires_at: int
    ) -> None:
        audio = _object(asked, "audio")
        given = audio.get("format")
        try:
            self.format = SoundFormat.parse({} if given is None else given, _RATES)
        except ValueError as error:
            raise WireError(str(error), "session.audio.format") from error
        voice = _object(audio, "output", "session.audio.").get("voice")
        self.voice = voice if isinstance(voice, str) and voice in served.voices else ""
        self.instructions = _text(asked.get("instructions", ""), "session.instructions")
        self.history = _exchanges(asked.get("input"))
        self.value: dict[str, Any] = {
            "id": session_id,
            "model": served.model,
            "status": "active",
            "expires_at": expires_at,
            "store": served.recorded,
            "audio": {
                "format": {"type": self.format.kind, "rate": self.format.rate},
                "output": {"voice": self.voice or served.voice},
            },
        }
        if self.instructions:
            self.value["instructions"] = self.instructions
        self._delegate(asked.get("delegation"))

    def update(self, change: dict[str, Any]) -> None:
        """Apply what may change later: delegation, within its type. Raises: WireError."""
        asked, now = change.get("delegation"), self.value.get("delegation") or {"type": "client"}
        if isinstance(asked, dict):
            if asked.get("type") != now["type"]:
                raise WireError("its type cannot change", "session.delegation.type")
            asked = now | asked
        self._delegate(asked)

    def _delegate(self, delegation: Any) -> None:
        """Take note of ``delegation``, which is told back: nothing is ever delegated."""
        if delegation is None:
            return
        value = self.value | {"delegation": copy.deepcopy(delegation)}
        try:
            SessionResource.model_validate(value)
        except ValidationError as error:
            where = "session.delegation"
            raise WireError(f"{where} has another type", where, "invalid_type") from error
        self.value = value


def _exchanges(messages: Any) -> list[tuple[str, str]]:
    """Return what was said before as pairs of the user's text and the answer. Raises:
    WireError."""
    where = "session.input"
    if messages is None:
        return []
    if not isinstance(messages, list) or len(messages) > MOST_MESSAGES:
        raise WireError(f"input must be a list of at most {MOST_MESSAGES} messages", where)
    exchanges: list[tuple[str, str]] = []
    asked: list[str] = []
    for message in messages:
        role = message.get("role") if isinstance(message, dict) else None
        parts = message.get("content") if isinstance(message, dict) else None
        if role not in ("developer", "user", "assistant"):
            raise WireError("a message is of developer, user or assistant", where)
        if not isinstance(parts, list) or len(parts) != 1 or not isinstance(parts[0], dict):
            raise WireError("a message has one part of text", where)
        text = _text(parts[0].get("text"), where)
        if role == "assistant":
            exchanges.append(("\n".join(asked), text))
            asked = []
        else:
            asked.append(text)
    return exchanges + ([("\n".join(asked), "")] if asked else [])


def _object(holder: dict[str, Any], name: str, where: str = "session.") -> dict[str, Any]:
    found = holder.get(name)
    if not isinstance(found, dict | None):
        raise WireError(f"{name} must be an object", f"{where}{name}", "invalid_type")
    return found or {}


def _text(value: Any, where: str) -> str:
    if value is None:
        return ""
    if not isinstance(value, str) or len(value) > MOST_TEXT:
        raise WireError("it must be a text of at most 256 KiB", where, "invalid_type")
    return value
