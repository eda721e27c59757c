"""A conversation as Markdown, for reading."""

from __future__ import annotations

import re
from collections.abc import Sequence

from covo_cli.process.text import clean, duration
from covo_cli.sessions.info import SessionInfo
from covo_cli.sessions.turns import Utterance

NAMES = {"user": "You", "assistant": "Covo"}
"""What the speakers are called wherever people read."""

_MARKUP = re.compile(r"([\\`*_{}\[\]<>#|~&])")


def transcript_markdown(info: SessionInfo, said: Sequence[Utterance]) -> str:
    """The transcript: a heading, what it was held with, then one paragraph for each utterance.

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
    for utterance in said:
        words = _escaped(utterance.text)
        if utterance.cut_off:
            words = f"{words} ~~{_escaped(utterance.cut_off)}~~ *(cut off)*".lstrip()
        lines += ["", f"**{duration(utterance.start)} {NAMES[utterance.speaker]}:** {words}"]
    if not said:
        lines += ["", "*Nothing was said.*"]
    return "\n".join(lines) + "\n"


def _escaped(text: str) -> str:
    return _MARKUP.sub(r"\\\1", clean(text))
