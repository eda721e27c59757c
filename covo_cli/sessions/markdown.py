"""A transcript as Markdown."""

from __future__ import annotations

import re
from collections.abc import Sequence

from covo_cli.process.text import clean, duration
from covo_cli.sessions.info import SessionInfo
from covo_cli.sessions.transcript import NAMES, TranscriptEntry

_MARKUP = re.compile(r"([\\`*_{}\[\]<>#|~&])")


def transcript_markdown(info: SessionInfo, said: Sequence[TranscriptEntry]) -> str:
    """Return a heading, the session's facts and a paragraph for each entry.

    What was cut off is struck through.
    """
    lines = [f"# Conversation of {info.started:%Y-%m-%d %H:%M:%S}", ""]
    facts = {
        "Engine": info.engine.get("description") or info.engine.get("name", ""),
        "Voice": ", ".join(info.voices),
        "Length": duration(info.duration) if info.duration is not None else "",
        "Ended": info.end_reason,
    }
    lines += [f"- {name}: {_escaped(str(fact))}" for name, fact in facts.items() if fact]
    for entry in said:
        words = _escaped(entry.shown)
        if entry.unheard.strip():
            words = f"{words} ~~{_escaped(entry.unheard)}~~ *(cut off)*".lstrip()
        lines += ["", f"**{duration(entry.start_s)} {NAMES[entry.who]}:** {words}"]
    if not said:
        lines += ["", "*Nothing was said.*"]
    return "\n".join(lines) + "\n"


def _escaped(text: str) -> str:
    return _MARKUP.sub(r"\\\1", clean(text))
