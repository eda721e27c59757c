"""``covo fd prove``: prove the recipe on the quiz, and show what was found."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from covo_cli.process.alone import working_in

if TYPE_CHECKING:
    from rich.table import Table

    from model.duplex.quiz.verdict import Proof


def prove(
    out: Annotated[Path, typer.Argument(help="Folder of the proof; gone on with if it is there.")],
    jobs: Annotated[int, typer.Option(help="Students to train at the same time.", min=1)] = 2,
    seed: Annotated[int, typer.Option(help="Random seed.", min=0)] = 0,
) -> None:
    """Prove the recipe on a small world, from the teacher to the student.

    Takes 10 to 15 minutes on two cores. Exits with 1 if a goal is missed.
    """
    from rich.progress import Progress, TextColumn, TimeElapsedColumn

    from covo_cli.bench.goals import goals_table
    from covo_cli.engines.covo_engine import check_packages
    from covo_cli.process.terminal import PlainConsole

    check_packages()
    from model.duplex.quiz.proof import WHOLE
    from model.duplex.quiz.proof import prove as prove_recipe

    console = PlainConsole()
    columns = (TextColumn("{task.description}: {task.fields[at]}"), TimeElapsedColumn())
    with Progress(*columns, console=console) as progress:
        tasks = {}

        def tell(part: str, how_far: str) -> None:
            if part not in tasks:
                tasks[part] = progress.add_task(part, total=None, at="")
            progress.update(tasks[part], at=how_far)

        with working_in(out):
            proof = prove_recipe(out, WHOLE, seed=seed, jobs=jobs, tell=tell)
    console.print(_students_table(proof))
    console.print(goals_table(_proof_figures(proof), "Goals"))
    if not all(goal.met for goal in proof.goals):
        raise typer.Exit(1)


def _students_table(proof: Proof) -> Table:
    """Return the behaviours and answers of the students, and of the controls."""
    from rich.table import Table

    table = Table("", "behaviour", "right", "names", "whole reply", title="Students")
    for name, figures in proof.students.items():
        for behaviour, found in figures.behaviours.items():
            shares = (f"{100 * share:.1f} %" for share in (found.rate, found.names, found.whole))
            table.add_row(name, behaviour, *shares)
    return table


def _proof_figures(proof: Proof) -> dict[str, Any]:
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
