"""How long the user waited: the latencies of a conversation's turns, and their summary."""

from __future__ import annotations

import statistics

from covo_cli.conversation.consumer import Tick
from covo_cli.screen.words import latency_line
from model.events import TurnLatency


class LatencyReport:
    """A consumer that keeps every turn's latency."""

    def __init__(self) -> None:
        self.turns: list[TurnLatency] = []

    def on_tick(self, tick: Tick) -> None:
        """Take note of one frame."""
        self.turns += [event for event in tick.events if isinstance(event, TurnLatency)]

    def close(self) -> None:
        """Nothing to give back."""

    def lines(self) -> list[str]:
        """For people: each turn's latency, then the median if there are several."""
        if not self.turns:
            return []
        lines = ["From the end of your speech to the first sound of the answer:"]
        lines += [f"  turn {turn.turn}: {latency_line(turn)}" for turn in self.turns]
        if len(self.turns) > 1:
            median = statistics.median(turn.total for turn in self.turns)
            lines.append(f"  median of {len(self.turns)}: {median:.2f} s")
        return lines
