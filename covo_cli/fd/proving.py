"""Show what a proof of the recipe on the quiz found."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rich.table import Table

if TYPE_CHECKING:
    from model.duplex.quiz.verdict import Proof


def students_table(proof: Proof) -> Table:
    """Return the behaviours and answers of the students, and of the controls."""
    table = Table("", "behaviour", "right", "names", "whole reply", title="Students")
    for name, figures in proof.students.items():
        for behaviour, found in figures.behaviours.items():
            shares = (f"{100 * share:.1f} %" for share in (found.rate, found.names, found.whole))
            table.add_row(name, behaviour, *shares)
    return table


def goals_table(proof: Proof) -> Table:
    """Return the goals, and which of them were missed."""
    table = Table("goal", "measured", "bound", "", title="Goals")
    for goal in proof.goals:
        bound = f"{'<=' if goal.above else '>='} {goal.bound:.3f}"
        table.add_row(goal.name, f"{goal.value:.3f}", bound, "met" if goal.met else "MISSED")
    return table
