"""Run scripted conversations with an engine and judge its turn taking.

A scenario (:mod:`~covo_cli.evaluation.scenarios.scenario`) says who speaks when and what would be
right. ``running`` runs it, ``judging`` judges what happened, ``reporting`` shows the figures.
docs/evaluation.md has the definitions. This module imports nothing heavy, for the command line.
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
    CHINESE = "chinese"
    CHINESE_TUNING = "chinese-tuning"


class RecognizerName(StrEnum):
    """A recogniser for the scripted engine."""

    ORACLE = "oracle"
    WHISPER = "whisper"


class Kind(StrEnum):
    """What a scenario tests."""

    TURN = "turn"
    PAUSE = "pause"
    BACKCHANNEL = "backchannel"
    INTERRUPTION = "interruption"
    NOISE = "noise"
    SIDE_TALK = "side talk"
    ECHO = "echo"
    CORRECTION = "correction"
    MONOLOGUE = "monologue"
    SILENCE = "silence"
    LISTENING = "listening"
    """A recorded user talks on; the assistant may at most give backchannels."""
    STATEMENT = "statement"
    STORY = "story"
    SHORT_END = "short end"
    SPELLING = "spelling"
    BYSTANDER = "bystander"
    """Somebody as loud as the user speaks to others."""


EVERYDAY = frozenset({Kind.STATEMENT, Kind.STORY, Kind.SHORT_END, Kind.SPELLING, Kind.BYSTANDER})
"""Kinds with figures of their own; those of the others do not count them."""
