"""``covo serve`` and ``covo bench serve``: conversations for clients of the Realtime API."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Literal

import typer

from covo_cli.commands.common import JsonFile, print_figures, save_json, say
from covo_cli.commands.voices import complete_voice
from covo_cli.settings.flags import for_every_engine, with_flags

_FLAGS = {
    "Engine": (
        *("engine.name", "covo.model", "covo.precision", "covo.device"),
        *("covo.voice_prompt_seconds", "covo.text_only"),
        *("voice.name", "voice.speed", "voice.pitch", "voice.loudness"),
        *("chat.model", "chat.url", "chat.persona"),
        *("remote.url", "remote.token_file"),
    ),
    "Turn taking": ("hearing.language", "turns.barge_in", "turns.patience", "turns.silence"),
}
_WHERE, _WHO = "Address", "Access"


@with_flags(_FLAGS, {"voice.name": complete_voice})
def serve(
    flags: Mapping[str, object],
    host: Annotated[
        str, typer.Option(help="Address to listen at.", rich_help_panel=_WHERE)
    ] = "127.0.0.1",
    port: Annotated[
        int, typer.Option(min=0, max=65_535, help="Port; 0: any.", rich_help_panel=_WHERE)
    ] = 8765,
    tls_cert: Annotated[
        Path | None, typer.Option(help="Certificate, for https and wss.", rich_help_panel=_WHERE)
    ] = None,
    tls_key: Annotated[
        Path | None, typer.Option(help="Its private key.", rich_help_panel=_WHERE)
    ] = None,
    token: Annotated[
        str,
        typer.Option(
            help="What clients must know; COVO_TOKEN does the same; empty: a new one is printed.",
            rich_help_panel=_WHO,
        ),
    ] = "",
    allow_host: Annotated[
        list[str] | None,
        typer.Option(help="Name of this host in requests; repeat it.", rich_help_panel=_WHO),
    ] = None,
    allow_origin: Annotated[
        list[str] | None,
        typer.Option(help="Origin of a web page, https://HOST; repeat it.", rich_help_panel=_WHO),
    ] = None,
    sessions: Annotated[int, typer.Option(min=1, max=64, help="Conversations at once.")] = 1,
    record: Annotated[
        bool,
        typer.Option("--record", help="Record every session as covo chat does; off by default."),
    ] = False,
    json_log: Annotated[
        bool,
        typer.Option("--json-log", help="Tell of sessions and turns on stdout, as lines of JSON."),
    ] = False,
    check: Annotated[bool, typer.Option("--check", help="Talk to it once, and exit.")] = False,
) -> None:
    """Serve the OpenAI Realtime API.

    Any client library of it can hold a spoken conversation with the engine.
    """
    from covo_cli.process.packages import require_packages

    require_packages("serve", "starlette", "uvicorn", "websockets", "prometheus_client")
    from covo_cli.serve.run_serve import ServeOptions, run_serve
    from covo_cli.settings.settings import load_settings

    settings = load_settings(for_every_engine(flags))
    options = ServeOptions(
        host,
        0 if check else port,
        token,
        tuple(allow_host or ()),
        tuple(allow_origin or ()),
        tls_cert,
        tls_key,
        sessions,
        record,
        json_log,
        check,
    )
    raise typer.Exit(run_serve(settings, options))


def bench_serve(
    engine: Annotated[
        Literal["lite", "scripted"], typer.Option(help="scripted needs no models.")
    ] = "scripted",
    sessions: Annotated[int, typer.Option(help="Conversations at once.", min=1, max=200)] = 4,
    minutes: Annotated[float, typer.Option(help="Minutes of conversation.", min=0.1)] = 10.0,
    vanishing: Annotated[
        int, typer.Option(help="Clients that come and vanish afterwards.", min=0)
    ] = 1000,
    misbehaving: Annotated[
        bool, typer.Option("--misbehaving", help="Beside them, clients of every bad kind come.")
    ] = False,
    settle: Annotated[float, typer.Option(help="Minutes before memory must be flat.", min=0)] = 2.0,
    seed: Annotated[int, typer.Option(help="Seed of what the clients do.", min=0)] = 1,
    json_file: JsonFile = None,
) -> None:
    """Talk to a server with several clients at once, in real time.

    Measures what the wire adds to the latency, gaps, memory, what clients that come and vanish at
    random points leave behind, and whether those that misbehave are dealt with while the others
    notice nothing.
    """
    from covo_cli.process.packages import require_packages

    require_packages("serve", "starlette", "uvicorn", "websockets", "prometheus_client")
    from covo_cli.bench.goals import goals_table
    from covo_cli.bench.serving import ServeBench, measure_serving
    from covo_cli.process.terminal import PlainConsole
    from covo_cli.settings.settings import load_settings

    bench = ServeBench(engine, sessions, minutes, vanishing, settle, seed, misbehaving)
    figures = measure_serving(bench, load_settings(), say)
    save_json(json_file, figures)
    print_figures("Serving", figures, without=("machine", "by_interval", "goals"))
    PlainConsole().print(goals_table(figures, "Goals"))
