"""``covo doctor``: is this machine ready for a conversation?"""

from __future__ import annotations

import dataclasses
import json
from collections import Counter
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from collections.abc import Sequence

    from rich.table import Table

    from covo_cli.doctor import Check
    from covo_cli.doctor.network_memory import FitRow


def doctor(
    microphone: Annotated[
        bool, typer.Option("--microphone", help="Also record one second and measure its level.")
    ] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Say whether this machine is ready, and what to do if it is not; and where Covo-Audio-Chat
    would fit.

    Exit code 1 when something is missing that a conversation needs.
    """
    import psutil
    from rich.console import Console

    from covo_cli.doctor import Status, find_gpus, run_checks
    from covo_cli.doctor.network_memory import fit_rows

    with Console(stderr=True).status("looking at this machine ..."):
        gpus = find_gpus()
        checks = list(run_checks(gpus, microphone=microphone))
        rows = list(fit_rows(gpus, psutil.virtual_memory().available))
    counts = Counter(check.status for check in checks)
    ready = not counts[Status.FAILED]
    if as_json:
        records = [dataclasses.asdict(check) for check in checks]
        fits = [dataclasses.asdict(row) for row in rows]
        report = {"ready": ready, "checks": records, "covo_memory": fits}
        typer.echo(json.dumps(report, indent=2))
    else:
        console = Console()
        console.print(_check_table(checks))
        console.print(_fit_table(rows))
        warnings = counts[Status.WARNING]
        typer.echo(
            f"Ready ({warnings} warning{'s' * (warnings != 1)})."
            if ready
            else f"Not ready: {counts[Status.FAILED]} failed."
        )
    if not ready:
        raise typer.Exit(1)


def _check_table(checks: Sequence[Check]) -> Table:
    from rich.table import Table
    from rich.text import Text

    from covo_cli.doctor import Status

    marks = {
        Status.OK: ("✓", "green"),
        Status.WARNING: ("!", "yellow"),
        Status.FAILED: ("✗", "red"),
    }
    table = Table(box=None, show_header=False)
    for check in checks:
        mark, colour = marks[check.status]
        text = Text(check.detail)
        if check.fix:
            text.append(f"\n→ {check.fix}", style="bold")
        table.add_row(Text(f"{mark} {check.status}", style=colour), check.name, text)
    return table


def _fit_table(rows: Sequence[FitRow]) -> Table:
    from rich.table import Table

    from covo_cli.doctor.network_memory import shown_minutes

    table = Table(
        title="Minutes of talk for which Covo-Audio-Chat would fit, by precision",
        caption="* with token2wav in bf16",
    )
    table.add_column("")
    table.add_column("free", justify="right")
    for fit in rows[0].fits:
        table.add_column(fit.precision, justify="right")
    for row in rows:
        table.add_row(row.device, f"{row.free / 1e9:.1f} GB", *map(shown_minutes, row.fits))
    return table
