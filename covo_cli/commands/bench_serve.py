"""``covo bench serve``: measure a server with several clients at once."""

from __future__ import annotations

from typing import Annotated, Literal

import typer

from covo_cli.commands.common import JsonFile, print_figures, save_json, say


def serve(
    engine: Annotated[
        Literal["lite", "scripted"], typer.Option(help="scripted needs no models.")
    ] = "scripted",
    sessions: Annotated[int, typer.Option(help="Conversations at once.", min=1, max=200)] = 4,
    minutes: Annotated[float, typer.Option(help="Minutes of conversation.", min=0.1)] = 10.0,
    vanishing: Annotated[
        int, typer.Option(help="Clients that come and vanish afterwards.", min=0)
    ] = 1000,
    settle: Annotated[float, typer.Option(help="Minutes before memory must be flat.", min=0)] = 2.0,
    seed: Annotated[int, typer.Option(help="Seed of what the clients do.", min=0)] = 1,
    json_file: JsonFile = None,
) -> None:
    """Talk to a server with several clients at once, in real time.

    Measures what the wire adds to the latency, gaps, memory, and what clients that come and vanish
    at random points leave behind.
    """
    from covo_cli.process.packages import require_packages

    require_packages("serve", "starlette", "uvicorn", "websockets", "prometheus_client")
    from covo_cli.bench.goals import goals_table
    from covo_cli.bench.serving import ServeBench, measure_serving
    from covo_cli.process.terminal import PlainConsole
    from covo_cli.settings.settings import load_settings

    bench = ServeBench(engine, sessions, minutes, vanishing, settle, seed)
    figures = measure_serving(bench, load_settings(), say)
    save_json(json_file, figures)
    print_figures("Serving", figures, without=("machine", "by_interval", "goals"))
    PlainConsole().print(goals_table(figures, "Goals"))
