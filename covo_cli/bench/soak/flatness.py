"""Judge whether the gauges of a soak stay flat."""

from __future__ import annotations

import statistics
from collections.abc import Callable, Iterator, Sequence
from itertools import combinations
from typing import Any

from covo_cli.bench.goals import Figures, Goal, judge
from covo_cli.bench.soak.gauges import PROCESS_GAUGES, YARDSTICKS, Gauges

MOST_RISE = 0.03
SETTLE_MINUTES = 10.0
"""Caches and heaps may fill for so long."""

MOST_SILENCE_S = 120.0
"""A conversation that begins no reply for so long has got stuck, whatever was muted or lost."""

FEWEST = 5
"""Intervals after the settling that say something about a rise."""

FLAT = (*PROCESS_GAUGES, "step_quiet_ms", "step_reply_ms")
"""Gauges that must be flat, beside the queues."""


def rise(values: Sequence[float]) -> float:
    """Return by how much the straight line through ``values`` rises from the first to the last.

    The line is Theil and Sen's, the median of all slopes, so a few odd values do not tilt it.
    """
    slopes = [(b - a) / (j - i) for (i, a), (j, b) in combinations(enumerate(values), 2)]
    return statistics.median(slopes) * (len(values) - 1) if slopes else 0.0


def flatness(gauges: Gauges, settle: float) -> dict[str, dict[str, float]]:
    """Return for every gauge its median, its highest and its rise after ``settle`` minutes.

    ``rise`` is a share of the median, and for a queue of its limit. That of a step is compared with
    its yardstick, because a machine's speed drifts.
    """
    first = sum(minutes <= settle for minutes in gauges.minutes)
    found: dict[str, dict[str, float]] = {}
    if len(gauges.minutes) - first < FEWEST:
        return found
    for name, all_values in gauges.kept.items():
        values = all_values[first:]
        median = statistics.median(values)
        whole = gauges.queues[name].limit if name in gauges.queues else median
        risen = values
        if name in YARDSTICKS:
            spare = gauges.kept[YARDSTICKS[name]][first:]
            usual = statistics.median(spare)
            risen = [v * usual / w for v, w in zip(values, spare, strict=True) if w]
        found[name] = {
            "median": round(median, 3),
            "highest": round(max(values), 3),
            "rise": round(rise(risen) / whole, 4) if whole else 0.0,
        }
    return found


def soak_goals(figures: Figures) -> list[dict[str, Any]]:
    """Return the goals with their figures, None for a soak too short to show a rise."""
    return judge(_goals(figures), figures, counts=bool(figures["flatness"]))


def _goals(figures: Figures) -> Iterator[Goal]:
    for name in FLAT:
        yield Goal(f"rise of {_spoken(name)}, as a share", MOST_RISE, _rise_of(name))
    for name in figures["queues"]:
        yield Goal(f"rise of {_spoken(name)}, as a share of its limit", MOST_RISE, _rise_of(name))
    yield Goal("parts that failed", 0, lambda figures: len(figures["failures"]))
    yield Goal(
        "longest time without a reply, seconds",
        MOST_SILENCE_S,
        lambda figures: figures["longest_silence_seconds"],
    )


def _rise_of(name: str) -> Callable[[Figures], float | None]:
    return lambda figures: figures["flatness"][name]["rise"]


def _spoken(name: str) -> str:
    return name.removesuffix("_mb").removesuffix("_ms").replace("_", " ")
