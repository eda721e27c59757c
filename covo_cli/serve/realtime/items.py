"""The items of a session's conversation, in their order."""

from __future__ import annotations

import copy
import json
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

from covo_cli.serve.realtime.wire import WireError, new_id

MOST_ITEMS = 1000
"""Items kept; the oldest is then forgotten."""

MOST_TEXT = 256 * 1024
"""Characters of text that an item may have."""

MOST_SIZE = 16 * 1024 * 1024
"""Characters that all items may have as JSON; the oldest are then forgotten."""

MOST_IDS = 20 * MOST_ITEMS
"""Ids that are remembered to have been used."""

ROOT = "root"
"""The id before the first item."""

_ROLES = ("user", "assistant", "system")
_OTHER_TYPES = {
    "function_call": ("name", "arguments"),
    "function_call_output": ("call_id", "output"),
}


@dataclass(slots=True)
class ConversationEntry:
    """An item as it is told. ``exchange``: the number of the engine's exchange that holds it, 0
    for none. ``size``: its characters as JSON when it was added. ``asked``: the text of it that was
    written, to be answered."""

    value: dict[str, Any] = field(repr=False)
    exchange: int = 0
    size: int = 0
    asked: str = field(default="", repr=False)

    @property
    def item_id(self) -> str:
        """Its id."""
        return str(self.value["id"])

    @property
    def role(self) -> str:
        """Who says it, empty for none of the roles."""
        return str(self.value.get("role", ""))

    @property
    def text(self) -> str:
        """What is written in it, or was recognised of it."""
        texts = [p.get("text") or p.get("transcript") for p in self.value.get("content", [])]
        return "\n".join(text for text in texts if text)


class ConversationItems:
    """All items, and the ids that were used. ``forget`` is called with each item that must go to
    make room for another."""

    def __init__(self) -> None:
        self._entries: list[ConversationEntry] = []
        self._issued: dict[str, int] = {}  # and the samples of each that were heard at most
        self._size = 0
        self.forget: Callable[[ConversationEntry], None] = lambda entry: None

    def __getitem__(self, item_id: str) -> ConversationEntry | None:
        return next((entry for entry in self._entries if entry.item_id == item_id), None)

    def __iter__(self) -> Iterator[ConversationEntry]:
        return iter(self._entries)

    def issued(self, item_id: str) -> bool:
        """Return whether there is or was such an item."""
        return item_id in self._issued

    def send(self, item_id: str, sound: int) -> None:
        """Note that ``sound`` samples (24 kHz) more of an item were sent."""
        self._issued[item_id] = self._issued.get(item_id, 0) + sound

    def hear(self, item_id: str, most: int | None = None) -> int:
        """Note that ``most`` samples (24 kHz) of an item were heard at most; return the least that
        was noted, all that was sent at first."""
        heard = self._issued.get(item_id, 0)
        if most is not None:
            heard = self._issued[item_id] = min(most, heard)
        return heard

    def exchange(self, number: int) -> Sequence[ConversationEntry]:
        """Return the items of an exchange."""
        return [entry for entry in self._entries if entry.exchange == number]

    def add(self, value: dict[str, Any], after: str | None = None) -> str | None:
        """Add an item after the item ``after`` (default: last); return the id before it."""
        ids = [entry.item_id for entry in self._entries]
        place = len(ids)
        if after == ROOT:
            place = 0
        elif after in ids:
            place = ids.index(after) + 1
        added = ConversationEntry(value, size=len(json.dumps(value)))
        self._entries.insert(place, added)
        self._issued[added.item_id] = 0
        if len(self._issued) > MOST_IDS:
            del self._issued[next(iter(self._issued))]
        self._make_room(added)
        return ids[place - 1] if place else None

    def before(self, item_id: str) -> str | None:
        """Return the id before an item, None for the first one."""
        ids = [entry.item_id for entry in self._entries]
        return ids[ids.index(item_id) - 1] if item_id in ids[1:] else None

    def remove(self, item_id: str) -> ConversationEntry | None:
        """Remove an item and return it."""
        entry = self[item_id]
        if entry is not None:
            self._entries.remove(entry)
            self._size -= entry.size
        return entry

    def _make_room(self, added: ConversationEntry) -> None:
        """Forget the oldest items that there is no room for beside ``added``."""
        self._size += added.size
        while len(self._entries) > MOST_ITEMS or self._size > MOST_SIZE:
            oldest = self._entries.pop(1 if self._entries[0] is added else 0)
            self._size -= oldest.size
            self.forget(oldest)

    def read(self, item: dict[str, Any]) -> tuple[dict[str, Any], list[str]]:
        """Return a client's ``item`` as it is kept, and its sounds (base64) of unknown words.

        Raises: WireError.
        """
        item_id = item.get("id") or new_id("item")
        if not isinstance(item_id, str) or len(item_id) > 512:
            raise WireError("the id must be a string", "item.id")
        if self[item_id] is not None:
            told = f"an item with the id {item_id[:80]} exists already"
            raise WireError(told, "item.id", "item_create_duplicate_item_id")
        kind = item.get("type", "message")
        if isinstance(kind, str) and kind in _OTHER_TYPES:
            value = {"id": item_id, "object": "realtime.item", "type": kind, "status": "completed"}
            for name in (*_OTHER_TYPES[kind], "call_id"):
                given = item.get(name)
                if isinstance(given, str):
                    value[name] = given[:MOST_TEXT]
                elif name in _OTHER_TYPES[kind]:
                    raise WireError(f"{name} must be a string", f"item.{name}")
            return value, []
        role = item.get("role")
        if kind != "message" or role not in _ROLES:
            raise WireError("only messages of user, assistant and system are taken", "item.type")
        content = item.get("content")
        if not isinstance(content, list):
            raise WireError("content must be a list", "item.content")
        parts = [_read_part(part, str(role)) for part in content[:100]]
        sounds = [part.pop("audio") for part in parts if "audio" in part]
        value = message(item_id, str(role), [part for part in parts if part])
        if len(ConversationEntry(value).text) > MOST_TEXT:
            raise WireError("an item may have 256 KiB of text", "item.content")
        return value, sounds


def _read_part(part: Any, role: str) -> dict[str, Any]:
    """Return a part of a client's item, empty for what is not kept; ``audio`` is there only if its
    words are unknown. Raises: WireError."""
    if not isinstance(part, dict):
        raise WireError("a part must be an object", "item.content")
    kind = part.get("type")
    kinds = {"assistant": ("output_text", "output_audio")}.get(role, ("input_text", "input_audio"))
    if kind not in (*kinds, "text", "audio"):
        told = f"{str(kind)[:80]} is not supported: a part of {role} must be {' or '.join(kinds)}"
        raise WireError(told, "item.content.type")
    name = "transcript" if kind.endswith("audio") else "text"
    text = part.get(name) or ""
    if not isinstance(text, str) or len(text) > MOST_TEXT:
        raise WireError(f"{name} must be a text of at most 256 KiB", f"item.content.{name}")
    if not kind.endswith("audio"):
        return {"type": kinds[0], name: text} if text else {}
    sound = part.get("audio")
    if role != "user" or text or not sound:
        return {"type": kinds[1], name: text}
    if not isinstance(sound, str):
        raise WireError("audio must be a string", "item.content.audio")
    return {"type": kinds[1], name: None, "audio": sound}


def message(
    item_id: str, role: str, content: Sequence[dict[str, Any]], status: str = "completed"
) -> dict[str, Any]:
    """Return a message as an item."""
    return {
        "id": item_id,
        "object": "realtime.item",
        "type": "message",
        "status": status,
        "role": role,
        "content": copy.deepcopy(list(content)),
    }
