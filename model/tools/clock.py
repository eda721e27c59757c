"""The tool that tells the time."""

from __future__ import annotations

import zoneinfo
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, tzinfo
from typing import Annotated

from msgspec import Meta

from model.errors import ToolError
from model.tools.tool import Tool, built_in

Now = Callable[[tzinfo | None], datetime]
"""Returns the time in a zone, of None the local one."""

_ZONE = "IANA name of a time zone, such as Europe/Berlin; empty for here."


@dataclass(frozen=True, slots=True)
class _When:
    zone: Annotated[str, Meta(description=_ZONE)] = ""


def _local_or(zone: tzinfo | None) -> datetime:
    return datetime.now(zone).astimezone(zone)


def clock_tool(now: Now = _local_or) -> Tool:
    """Return the tool that tells date and time."""

    def tell(when: _When) -> str:
        at = now(_zone(when.zone) if when.zone else None)
        where = when.zone or "here"
        return f"{at:%A}, {at.day} {at:%B %Y, %H:%M:%S} ({where}, UTC{at:%z})"

    return built_in("time", "Tell the present date and time, here or elsewhere.", _When, tell)


def _zone(name: str) -> tzinfo:
    """Return the zone called ``name``, which may be its city alone. Raises: ToolError."""
    try:
        return zoneinfo.ZoneInfo(name)
    except (zoneinfo.ZoneInfoNotFoundError, ValueError, OSError):
        city = f"/{name.strip().replace(' ', '_')}".lower()
        known = [zone for zone in zoneinfo.available_timezones() if zone.lower().endswith(city)]
        if len(known) == 1:
            return zoneinfo.ZoneInfo(known[0])
    raise ToolError(f"there is no time zone {name!r}: give an IANA name such as Europe/Berlin")
