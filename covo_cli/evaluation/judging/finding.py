"""The result of one check on a conversation."""

from __future__ import annotations

from dataclasses import dataclass, replace
from enum import StrEnum

from covo_cli.evaluation import Kind

LATENCY = "latency"
LATENCY_OVER_CHAIN = "latency_over_chain"


class FindingCheck(StrEnum):
    """What was checked."""

    TURN = "turn"
    PAUSE = "pause"
    BACKCHANNEL = "backchannel"
    INTERRUPTION = "interruption"
    SIDE_TALK = "side talk"
    COMMAND = "command"
    CORRECTION = "correction"
    EXPOSURE = "exposure"
    FIRST_WORDS = "first words"


@dataclass(frozen=True, slots=True)
class Finding:
    """The result of one check on line ``line`` (from 0; -1: the whole conversation).

    ``ok`` is None if the check was not possible; ``why`` then says what was missing. Times in
    ``values`` are in seconds.
    """

    scenario: str
    kind: Kind
    check: FindingCheck
    line: int
    ok: bool | None
    values: dict[str, float]
    why: str = ""

    @property
    def problem(self) -> str:
        """What went wrong, for display."""
        return f"{self.check}: {self.why or 'wrong'}"

    def value(self, name: str) -> float | None:
        """Return the value ``name``, or None; ``ok`` is 1 or 0."""
        if name == "ok":
            return None if self.ok is None else float(self.ok)
        return self.values.get(name)

    def over_chain(self, chain: float) -> Finding:
        """Add the latency, if there is one, over the ``chain`` seconds of the plain chain."""
        if LATENCY not in self.values:
            return self
        ratio = round(self.values[LATENCY] / chain, 4)
        return replace(self, values={**self.values, LATENCY_OVER_CHAIN: ratio})
