"""``covo demo``: a spoken conversation without a microphone."""

from __future__ import annotations

from typing import Annotated

import typer

from covo_cli.commands.chat import Pace


def demo(
    pace: Annotated[
        Pace, typer.Option(help="real: in real time. fast: as fast as it goes.")
    ] = Pace.REAL,
    record: Annotated[bool | None, typer.Option(help="Keep the conversation on disk.")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="One event a line.")] = False,
) -> None:
    """Hold a conversation of three turns with recorded questions; no sound card needed."""
    from covo_cli.conversation.demo import run_demo
    from covo_cli.settings.settings import load_settings

    settings = load_settings({"session.record": record})
    raise typer.Exit(run_demo(settings, paced=pace is Pace.REAL, as_json=as_json))
