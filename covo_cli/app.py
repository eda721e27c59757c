"""The command tree. Each command lives in its own module of :mod:`covo_cli.commands`."""

from __future__ import annotations

import codecs
import io
import sys
from typing import Annotated

import typer

from covo_cli import __version__
from covo_cli.commands import (
    ask,
    bench,
    chat,
    config,
    demo,
    devices,
    doctor,
    evaluation,
    models,
    sessions,
    train,
    voices,
)

app = typer.Typer(
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode="rich",
    context_settings={"help_option_names": ["-h", "--help"]},
)


def _show_version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"covo {__version__}")
        raise typer.Exit


@app.callback()
def root(
    version: Annotated[
        bool,
        typer.Option("--version", callback=_show_version, is_eager=True, help="Show the version."),
    ] = False,
    debug: Annotated[bool, typer.Option("--debug", help="Show tracebacks.")] = False,
    verbose: Annotated[bool, typer.Option("--verbose", help="Also log to stderr.")] = False,
) -> None:
    """Talk to an open speech-to-speech model from your terminal.

    [bold]covo chat[/] starts a conversation. [bold]covo doctor[/] says if this machine is ready.
    """
    out = sys.stdout
    if isinstance(out, io.TextIOWrapper) and codecs.lookup(out.encoding).name != "utf-8":
        out.reconfigure(errors="replace")  # a locale without arrows is no reason to say nothing


app.command()(chat.chat)
app.command()(ask.ask)
app.command()(demo.demo)
app.command()(doctor.doctor)
app.add_typer(bench.app, name="bench")
app.add_typer(config.app, name="config")
app.add_typer(devices.app, name="devices")
app.add_typer(evaluation.app, name="eval")
app.add_typer(models.app, name="models")
app.add_typer(sessions.app, name="sessions")
app.add_typer(train.app, name="train")
app.add_typer(voices.app, name="voices")
