"""Events as lines of JSON: the one writer and the one reader of ``events.jsonl``.

Of sound only the length is written: an :class:`model.events.AssistantAudio` is read back as a
:class:`RecordedAudio`, a :class:`model.events.Backchannel` as a :class:`RecordedBackchannel`, a
:class:`model.events.TimerRang` as a :class:`RecordedRing`.
"""

from __future__ import annotations

import dataclasses
import json
import sys
from collections.abc import Iterable
from dataclasses import dataclass
from functools import cache
from operator import methodcaller
from pathlib import Path
from typing import Any

import msgspec
import numpy as np

from audio_io.clock import seconds
from covo_cli.sessions.files import EVENTS
from model import events as known_events
from model.events import AssistantAudio, Backchannel, Event, SoundBeside, TimerRang
from voices.folders import check_readable


@dataclass(frozen=True, slots=True)
class RecordedAudio(Event):
    """``samples`` samples (24 kHz) of reply ``reply`` were sent to the speaker, saying ``text``."""

    reply: int
    samples: int
    text: str


@dataclass(frozen=True, slots=True)
class RecordedBeside(Event):
    """A :class:`model.events.SoundBeside` of ``samples`` samples (24 kHz)."""

    number: int
    samples: int


@dataclass(frozen=True, slots=True)
class RecordedBackchannel(RecordedBeside):
    """A recorded :class:`model.events.Backchannel`."""

    turn: int
    text: str


@dataclass(frozen=True, slots=True)
class RecordedRing(RecordedBeside):
    """A recorded :class:`model.events.TimerRang`."""

    name: str
    ring: int


@dataclass(frozen=True, slots=True)
class EventLog:
    """The events that could be read, in order, and a warning for each line that could not."""

    events: tuple[Event, ...]
    warnings: tuple[str, ...]


def encode_events(events: Iterable[Event], *, ascii_only: bool = False) -> str:
    """Return ``events`` as lines of JSON.

    ``ascii_only``: escape everything else, for streams of unknown encoding.
    """
    # An engine may measure in numpy's numbers, which JSON does not know.
    options: dict[str, Any] = {"ensure_ascii": ascii_only, "default": methodcaller("item")}
    return "".join(json.dumps(event_to_dict(event), **options) + "\n" for event in events)


def event_to_dict(event: Event) -> dict[str, Any]:
    """Return the JSON form of ``event``: the fields, its class as ``event``, and ``seconds``.

    The ``samples`` of a sound become their number.
    """
    own = {f.name: getattr(event, f.name) for f in dataclasses.fields(event)}
    if isinstance(sound := own.get("samples"), np.ndarray):
        own["samples"] = len(sound)
    return {"event": type(event).__name__, "seconds": round(seconds(event.at), 3), **own}


def event_from_dict(record: object) -> Event:
    """Return the event that :func:`event_to_dict` made ``record`` of.

    Raises: ValueError when it is not a known event, or a field is missing or has a wrong type.
    """
    if not isinstance(record, dict):
        raise ValueError("not a JSON object")
    name = record.get("event")
    kind = _kinds().get(name) if isinstance(name, str) else None
    if kind is None:
        raise ValueError(f"unknown event {name!r}")
    try:
        return msgspec.convert(record, kind)
    except msgspec.ValidationError as error:
        raise ValueError(f"{name}: {error}") from error


def read_events(folder: Path) -> EventLog:
    """Read ``events.jsonl`` in ``folder``; never fails.

    Lines that are unknown or broken (a kill may tear the last one) are skipped with a warning.
    """
    path = folder / EVENTS
    events: list[Event] = []
    warnings: list[str] = []
    try:
        check_readable(path, sys.maxsize)
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
            warnings.append(f"{EVENTS} line {number} skipped: {error}")
    return EventLog(tuple(events), tuple(warnings))


@cache
def _kinds() -> dict[str, type[Event]]:
    kinds = {
        name: kind
        for name, kind in vars(known_events).items()
        if isinstance(kind, type) and issubclass(kind, Event) and kind not in (Event, SoundBeside)
    }
    return {
        **kinds,
        AssistantAudio.__name__: RecordedAudio,
        Backchannel.__name__: RecordedBackchannel,
        TimerRang.__name__: RecordedRing,
    }
