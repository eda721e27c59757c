"""What can be named on the command line; imports nothing heavy."""

from __future__ import annotations

from enum import StrEnum


class SetName(StrEnum):
    """The sets that can be built."""

    STANDARD = "standard"
    TUNING = "tuning"
    SMALL = "small"


class RecognizerName(StrEnum):
    """Who recognises for the scripted engine."""

    ORACLE = "oracle"
    WHISPER = "whisper"


SCRIPTED = "scripted"
"""The engine that is only here: the others are those of ``covo chat``."""
