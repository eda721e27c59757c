"""Text and times as every screen, list and transcript writes them."""

from __future__ import annotations

import unicodedata


def clean(text: str) -> str:
    """``text`` on one line, without characters that would command a terminal."""
    return " ".join("".join(" " if _commands(char) else char for char in text).split())


def duration(time: float) -> str:
    """A length of time, or a time since the beginning, in whole seconds: ``00:42``, ``1:00:42``."""
    minutes, second = divmod(int(time), 60)
    hours, minute = divmod(minutes, 60)
    short = f"{minute:02d}:{second:02d}"
    return f"{hours}:{short}" if hours else short


def _commands(char: str) -> bool:
    return char.isspace() or unicodedata.category(char) in ("Cc", "Cs", "Zl", "Zp")
