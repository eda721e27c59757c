"""A conversation as Markdown, for reading."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Sequence

from covo_cli.sessions.info import SessionInfo
from covo_cli.sessions.turns import Utterance

NAMES = {"user": "You", "assistant": "Covo"}
"""What the speakers are called wherever people read."""

_MARKUP = re.compile(r"([\\`*_{}\[\]<>#|~&])")


def clock(time: float) -> str:
    """``time`` in seconds as ``mm:ss``, or ``h:mm:ss``."""
    minutes, second = divmod(int(time), 60)
    hour, minute = divmod(minutes, 60)
    return f"{hour}:{minute:02}:{second:02}" if hour else f"{minute:02}:{second:02}"


def one_line(text: str) -> str:
    """``text`` for one line of a terminal or a file: white space is single spaces, and control
    characters (a chat model may write escape sequences) are left out."""
    words = " ".join(text.split())
    return "".join(character for character in words if unicodedata.category(character) != "Cc")


def transcript_markdown(info: SessionInfo, said: Sequence[Utterance]) -> str:
    """The transcript: a heading, what it was held with, then one paragraph for each utterance.

    What was cut off is struck through.
    """
    lines = [f"# Conversation of {info.started:%Y-%m-%d %H:%M:%S}", ""]
    facts = {
        "Engine": info.engine.get("description") or info.engine.get("name", ""),
        "Voice": ", ".join(info.voices),
        "Length": clock(info.duration) if info.duration is not None else "",
        "Ended": info.end_reason,
    }
    lines += [f"- {name}: {_escaped(str(fact))}" for name, fact in facts.items() if fact]
    for utterance in said:
        words = _escaped(utterance.text)
        if utterance.cut_off:
            words = f"{words} ~~{_escaped(utterance.cut_off)}~~ *(cut off)*".lstrip()
        lines += ["", f"**{clock(utterance.start)} {NAMES[utterance.speaker]}:** {words}"]
    if not said:
        lines += ["", "*Nothing was said.*"]
    return "\n".join(lines) + "\n"


def _escaped(text: str) -> str:
    return _MARKUP.sub(r"\\\1", one_line(text))
