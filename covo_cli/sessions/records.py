"""``events.jsonl``: a conversation's events, written as they come and read back as what they were.

Sound is not in it: an :class:`model.events.AssistantAudio` is written with its length only and
comes back as a :class:`RecordedAudio`.
"""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Iterable
from dataclasses import dataclass
from enum import StrEnum
from functools import cache
from pathlib import Path
from typing import Any, get_type_hints

import numpy as np

from covo_cli.sessions.files import EVENTS
from model import events as known_events
from model.events import AssistantAudio, Event, event_to_dict


@dataclass(frozen=True, slots=True)
class RecordedAudio(Event):
    """``samples`` samples (24 kHz) of reply ``reply`` were sent to the speaker, saying ``text``."""

    reply: int
    samples: int
    text: str


@dataclass(frozen=True, slots=True)
class EventLog:
    """The events that could be read, in their order, and what could not be read."""

    events: tuple[Event, ...]
    warnings: tuple[str, ...]


def encode_events(events: Iterable[Event]) -> bytes:
    """One line of JSON for each event, as UTF-8."""
    lines = (
        json.dumps(event_to_dict(event), ensure_ascii=False, default=_plain_number) + "\n"
        for event in events
    )
    return "".join(lines).encode("utf-8", "replace")


def event_from_dict(record: object) -> Event:
    """The event that :func:`model.events.event_to_dict` made ``record`` of.

    Raises: ValueError when it is no known event or a field is missing or of the wrong type.
    """
    if not isinstance(record, dict):
        raise ValueError("not a JSON object")
    name = record.get("event")
    kind = _kinds().get(name) if isinstance(name, str) else None
    if kind is None or not isinstance(name, str):
        raise ValueError(f"unknown event {name!r}")
    hints = _hints(name)
    values: dict[str, Any] = {}
    for f in dataclasses.fields(kind):
        if f.name not in record:
            raise ValueError(f"{name} without {f.name!r}")
        values[f.name] = _checked(record[f.name], hints[f.name], f"{name}.{f.name}")
    return kind(**values)


def read_events(folder: Path) -> EventLog:
    """Read ``events.jsonl`` of the session in ``folder``; never fails.

    Lines that are broken (a kill may tear the last one) or unknown are left out with a warning.
    """
    path = folder / EVENTS
    events: list[Event] = []
    warnings: list[str] = []
    try:
        lines = path.read_bytes().split(b"\n")
    except FileNotFoundError:
        return EventLog((), (f"{EVENTS} is missing",))
    except OSError as error:
        return EventLog((), (f"{EVENTS} cannot be read: {error.strerror}",))
    for number, line in enumerate(lines, 1):
        if not line.strip():
            continue
        try:
            events.append(event_from_dict(json.loads(line)))
        except (ValueError, RecursionError) as error:
            warnings.append(f"{EVENTS} line {number} is skipped: {error}")
    return EventLog(tuple(events), tuple(warnings))


def _plain_number(value: object) -> object:
    """An engine may well measure in numpy's numbers, which JSON does not know."""
    if isinstance(value, np.generic):
        return value.item()
    raise TypeError(f"{value!r} cannot be written as JSON")


@cache
def _kinds() -> dict[str, type[Event]]:
    kinds = {
        name: kind
        for name, kind in vars(known_events).items()
        if isinstance(kind, type) and issubclass(kind, Event) and kind is not Event
    }
    return {**kinds, AssistantAudio.__name__: RecordedAudio}


@cache
def _hints(name: str) -> dict[str, Any]:
    return get_type_hints(_kinds()[name])


def _checked(value: object, kind: Any, what: str) -> object:
    good: bool
    if kind is float:
        good = _is_number(value)
    elif kind == dict[str, float]:
        good = isinstance(value, dict) and all(_is_number(part) for part in value.values())
    elif isinstance(value, str) and isinstance(kind, type) and issubclass(kind, StrEnum):
        return kind(value)
    else:
        good = type(value) is kind
    if not good:
        raise ValueError(f"{what} is {value!r}")
    return value


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)
