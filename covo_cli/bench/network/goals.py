"""The goals for the full network on an H100: times for bf16, memory for each precision."""

from __future__ import annotations

from typing import Any

from covo_cli.bench.goals import Figures, Goal, judge

GOAL_GB = {"bf16": 21.0, "int8": 13.0, "int4": 10.0}
"""Peak memory with ten minutes of conversation in the cache."""


def goals(figures: Figures) -> list[dict[str, Any]]:
    """Return the goals for the run's precision with their figures. ``measured`` and ``met`` are
    None unless the full network ran on CUDA."""
    real = figures["size"] == "full" and figures["machine"]["device"].startswith("cuda")
    return judge(_GOALS, figures, counts=real)


def off_plan(figures: Figures) -> float | None:
    """Return how far the peak memory is from its plan, as a share of the plan."""
    share = figures["memory"]["peak_share_of_plan"]
    return None if share is None else round(abs(share - 1), 4)


def _peak_gb(figures: Figures) -> float | None:
    peak = figures["memory"]["peak_allocated"]
    return None if peak is None or figures["minutes"] < 10 else round(peak / 1e9, 3)


_GOALS = (
    Goal(
        "decode step, as a multiple of reading its weights and cache",
        1.25,
        lambda figures: max(entry["multiple_of_floor"] for entry in figures["decode"]),
        "bf16",
    ),
    Goal(
        "end of speech to first sample, seconds",
        0.3,
        lambda figures: round(figures["reply"]["first_sample_seconds"], 4),
        "bf16",
    ),
    Goal(
        "whole reply, as a share of its duration",
        0.35,
        lambda figures: figures["reply"]["whole_share_of_duration"],
        "bf16",
    ),
    Goal("peak memory off its plan, as a share", 0.10, off_plan),
    *(
        Goal(f"peak memory in {precision} with ten minutes of talk, GB", most, _peak_gb, precision)
        for precision, most in GOAL_GB.items()
    ),
)
