"""Collect and summarise how long the user waited for each reply."""

from __future__ import annotations

import statistics

from covo_cli.conversation.consumer import Tick
from covo_cli.screen.words import latency_line
from model.events import TurnLatency


class LatencyReport:
    """A consumer that keeps each turn's latency."""

    def __init__(self) -> None:
        self.turns: list[TurnLatency] = []

    def on_tick(self, tick: Tick) -> None:
        """Keep the frame's latencies."""
        self.turns += [event for event in tick.events if isinstance(event, TurnLatency)]

    def lines(self) -> list[str]:
        """Return one line per turn, then the median of several."""
        lines = [f"  turn {turn.turn}: {latency_line(turn)}" for turn in self.turns]
        if lines:
            lines.insert(0, "From the end of your speech to the first sound of the reply:")
        if len(self.turns) > 1:
            median = statistics.median(turn.total for turn in self.turns)
            lines.append(f"  median of {len(self.turns)}: {median:.2f} s")
        return lines
