"""``covo doctor``: check whether this machine is ready for a conversation."""

from __future__ import annotations

import dataclasses
from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from covo_cli.commands.common import JsonFlag, print_json
from covo_cli.errors import CliError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from rich.table import Table

    from covo_cli.doctor import Check
    from covo_cli.doctor.network_memory import FitRow


def doctor(
    microphone: Annotated[
        bool, typer.Option("--microphone", help="Record one second and measure its level.")
    ] = False,
    as_json: JsonFlag = False,
    report: Annotated[
        bool,
        typer.Option(
            "--report", help="Also write FILE for a bug report: log, versions, settings, checks."
        ),
    ] = False,
    file: Annotated[
        Path | None, typer.Argument(help="With --report (covo-report.txt by default).")
    ] = None,
) -> None:
    """Check whether this machine is ready.

    Also shows on which devices Covo-Audio-Chat would fit.

    Exits with 1 if something that a conversation needs is missing.
    """
    if file is not None and not report:
        raise CliError("FILE goes with --report: covo doctor --report FILE")
    import psutil

    from covo_cli.doctor import Status, find_gpus, run_checks
    from covo_cli.doctor.network_memory import fit_rows
    from covo_cli.doctor.report import write_report
    from covo_cli.doctor.wiring import check_settings
    from covo_cli.process.terminal import PlainConsole
    from covo_cli.settings.settings import load_settings

    with PlainConsole(stderr=True).status("Checking this machine ..."):
        gpus = find_gpus()
        checks = list(run_checks(gpus, microphone=microphone))
        rows = list(fit_rows(gpus, psutil.virtual_memory().available))
    counts = Counter(check.status for check in checks)
    ready = not counts[Status.FAILED]
    if as_json:
        records = [dataclasses.asdict(check) for check in checks]
        fits = [dataclasses.asdict(row) for row in rows]
        found = {"ready": ready, "checks": records, "covo_memory": fits}
        print_json(found)
    else:
        console = PlainConsole()
        console.print(_check_table(checks))
        console.print(_fit_table(rows))
        warnings = counts[Status.WARNING]
        typer.echo(
            f"Ready ({warnings} warning{'s' * (warnings != 1)})."
            if ready
            else f"Not ready: {counts[Status.FAILED]} failed."
        )
    if report:
        target = file or Path("covo-report.txt")
        _, settings = check_settings(load_settings)
        write_report(target, checks, settings)
        typer.echo(
            f"Report: {target.absolute()}. Paths, addresses and keys are hidden, and nothing that "
            "was said is in it; read it before you send it.",
            err=as_json,
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
        title="Minutes of conversation that fit with Covo-Audio-Chat, by precision",
        caption="* with token2wav in bf16",
    )
    table.add_column("")
    table.add_column("free", justify="right")
    for fit in rows[0].fits:
        table.add_column(fit.precision, justify="right")
    for row in rows:
        table.add_row(row.device, f"{row.free / 1e9:.1f} GB", *map(shown_minutes, row.fits))
    return table
