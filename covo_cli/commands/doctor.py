"""``covo doctor``: is this machine ready for a conversation?"""

from __future__ import annotations

import dataclasses
import json
from typing import Annotated

import typer


def doctor(
    microphone: Annotated[
        bool, typer.Option("--microphone", help="Also record one second and measure its level.")
    ] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Say whether this machine is ready, and what to do if it is not.

    Exit code 1 when something is missing that a conversation needs.
    """
    from covo_cli.doctor import Status, run_checks

    if as_json:
        checks = list(run_checks(microphone=microphone))
    else:
        from rich.console import Console
        from rich.table import Table
        from rich.text import Text

        console = Console()
        with console.status("looking at this machine ..."):
            checks = list(run_checks(microphone=microphone))
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
        console.print(table)

    counts = {status: sum(c.status is status for c in checks) for status in Status}
    ready = not counts[Status.FAILED]
    if as_json:
        records = [dataclasses.asdict(check) for check in checks]
        typer.echo(json.dumps({"ready": ready, "checks": records}, indent=2))
    elif not ready:
        typer.echo(f"Not ready: {counts[Status.FAILED]} failed.")
    else:
        warnings = counts[Status.WARNING]
        typer.echo(f"Ready ({warnings} warning{'s' * (warnings != 1)}).")
    if not ready:
        raise typer.Exit(1)
