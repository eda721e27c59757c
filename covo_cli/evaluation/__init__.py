"""Hold scripted conversations with an engine and judge how well it takes turns.

A scenario (:mod:`~covo_cli.evaluation.scenarios.scenario`) says who speaks when and what would be
right. ``running`` holds it, ``judging`` compares what happened with what would be right,
``reporting`` shows the figures. docs/evaluation.md has the definitions and their sources.

This module has the names for the command line, because it imports nothing heavy.
"""

from __future__ import annotations

from enum import StrEnum

SCRIPTED = "scripted"
"""An engine for evaluation only; the others are those of ``covo chat``."""


class SetName(StrEnum):
    """A set of scenarios for ``covo eval build``."""

    STANDARD = "standard"
    TUNING = "tuning"
    SMALL = "small"


class RecognizerName(StrEnum):
    """A recogniser for the scripted engine."""

    ORACLE = "oracle"
    WHISPER = "whisper"
