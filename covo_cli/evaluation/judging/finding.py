"""What was found of one line of a conversation, or of all of it: the record that judging leaves."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import ClassVar

from covo_cli.evaluation.scenarios.scenario import Kind


class Check(StrEnum):
    """What was looked at."""

    TURN = "turn"
    PAUSE = "pause"
    BACKCHANNEL = "backchannel"
    INTERRUPTION = "interruption"
    SIDE_TALK = "side talk"
    CORRECTION = "correction"
    EXPOSURE = "exposure"
    FIRST_WORDS = "first words"


@dataclass(frozen=True, slots=True)
class Finding:
    """``ok``: whether it went right; None: it could not be tried, ``why`` says what was missing.

    ``line``: the number of the line in question, from 0; -1: the whole conversation. Times in
    ``values`` are in seconds.
    """

    __pydantic_config__: ClassVar = {"extra": "forbid"}

    scenario: str
    kind: Kind
    check: Check
    line: int
    ok: bool | None
    values: dict[str, float]
    why: str = ""

    @property
    def problem(self) -> str:
        """What went wrong, for people."""
        return f"{self.check}: {self.why or 'wrong'}"

    def value(self, name: str) -> float | None:
        """The value called ``name``, or the verdict (``ok``: 1 or 0); None: there is none."""
        if name == "ok":
            return None if self.ok is None else float(self.ok)
        return self.values.get(name)
