"""Show what a proof of the recipe on the quiz found."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rich.table import Table

from covo_cli.bench.goals import Figures

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


def proof_figures(proof: Proof) -> Figures:
    """Return the goals as :func:`~covo_cli.bench.goals.goals_table` shows them."""
    return {
        "goals": [
            {
                "goal": goal.name,
                "most" if goal.above else "least": goal.bound,
                "measured": goal.value,
                "met": goal.met,
            }
            for goal in proof.goals
        ]
    }
