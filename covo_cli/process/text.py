"""Format text and times for screens, lists and transcripts."""

from __future__ import annotations

import unicodedata
from datetime import datetime


def clean(text: str) -> str:
    """Return ``text`` on one line, without terminal control characters."""
    return " ".join("".join(" " if _commands(char) else char for char in text).split())


def duration(time: float) -> str:
    """Format ``time`` (seconds) as ``00:42`` or ``1:00:42``, rounded down."""
    minutes, second = divmod(int(time), 60)
    hours, minute = divmod(minutes, 60)
    short = f"{minute:02d}:{second:02d}"
    return f"{hours}:{short}" if hours else short


def when(started: datetime, now: datetime) -> str:
    """Return when ``started`` was, as seen from ``now``: today, yesterday or the date."""
    local = started.astimezone()
    days = (now.date() - local.date()).days
    if days in (0, 1):
        return f"{'today' if days == 0 else 'yesterday'} {local:%H:%M}"
    return f"{local.day} {local:%b %Y}"


def _commands(char: str) -> bool:
    return char.isspace() or unicodedata.category(char) in ("Cc", "Cs", "Zl", "Zp")
