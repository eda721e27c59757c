"""Goals of a benchmark: bounds on its figures, and whether a run met them."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from rich.table import Table

Figures = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Goal:
    """An upper bound ``most`` on the figure ``value``. ``precision``: None for all."""

    name: str
    most: float
    value: Callable[[Figures], float | None]
    precision: str | None = None


def judge(goals: Iterable[Goal], figures: Figures, *, counts: bool) -> list[dict[str, Any]]:
    """Return those of ``goals`` that are for the run's precision, with their figures. ``counts``:
    whether the run can meet them; else ``measured`` and ``met`` are None."""
    found = []
    for goal in goals:
        if goal.precision in {None, figures.get("precision")}:
            value = goal.value(figures) if counts else None
            met = None if value is None else value <= goal.most
            found.append({"goal": goal.name, "most": goal.most, "measured": value, "met": met})
    return found


def goals_table(figures: Figures, title: str = "Goals for the full network on an H100") -> Table:
    """Return ``figures["goals"]``, with what was measured.

    A goal is bounded from above (``most``, as :func:`judge` returns it) or from below (``least``).
    """
    table = Table(title=title)
    for name in ("", "bound", "measured", ""):
        table.add_column(name, justify="left" if not name else "right")
    marks = {True: "met", False: "MISSED", None: ""}
    for goal in figures["goals"]:
        measured = goal["measured"]
        shown = "not measured" if measured is None else f"{measured:g}"
        bound = f">= {goal['least']:g}" if "least" in goal else f"<= {goal['most']:g}"
        table.add_row(goal["goal"], bound, shown, marks[goal["met"]])
    return table
