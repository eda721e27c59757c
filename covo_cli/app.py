"""The command tree; the commands are in :mod:`covo_cli.commands`."""

from __future__ import annotations

import codecs
import io
import sys
from typing import Annotated, Any

import typer
from typer.core import TyperCommand, TyperGroup

from covo_cli import __version__
from covo_cli.commands import (
    ask,
    bench,
    chat,
    config,
    devices,
    doctor,
    evaluation,
    fd,
    models,
    serve,
    sessions,
    train,
    voices,
)
from covo_cli.errors import output_closed


class _Root(TyperGroup):
    def invoke(self, ctx: Any) -> Any:
        """Handle errors that typer would mistake for a closed output, exiting silently."""
        try:
            return super().invoke(ctx)
        except BrokenPipeError as error:
            if output_closed():
                raise
            raise RuntimeError(f"{type(error).__name__}: {error}") from error


app = typer.Typer(
    cls=_Root,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,  # Rich takes longer to import than all of covo's commands
    context_settings={"help_option_names": ["-h", "--help"]},
)


class HelpCommand(TyperCommand):
    """A command whose help lists its options under headings."""

    def format_options(self, ctx: Any, formatter: Any) -> None:
        """Write one section per ``rich_help_panel``; options without one come last."""
        groups: dict[str, list[tuple[str, str]]] = {}
        for parameter in self.get_params(ctx):
            record = parameter.get_help_record(ctx)
            if record is not None:
                panel = getattr(parameter, "rich_help_panel", None) or "Options"
                groups.setdefault(panel, []).append(record)
        for panel in sorted(groups, key="Options".__eq__):
            with formatter.section(panel):
                formatter.write_dl(groups[panel])


def _show_version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"covo {__version__}")
        raise typer.Exit


@app.callback(invoke_without_command=True)
def root(
    context: typer.Context,
    version: Annotated[
        bool,
        typer.Option("--version", callback=_show_version, is_eager=True, help="Show the version."),
    ] = False,
    debug: Annotated[bool, typer.Option("--debug", help="Show tracebacks.")] = False,
    verbose: Annotated[bool, typer.Option("--verbose", help="Also log to stderr.")] = False,
) -> None:
    """Talk to an open speech-to-speech model from your terminal.

    `covo chat` starts a conversation; `covo doctor` checks whether this machine is ready.
    """
    out = sys.stdout
    if isinstance(out, io.TextIOWrapper):
        # Print names of files byte by byte, and "?" where the locale lacks a character.
        utf8 = codecs.lookup(out.encoding).name == "utf-8"
        out.reconfigure(errors="surrogateescape" if utf8 else "replace")
    if context.invoked_subcommand is None:
        from covo_cli.welcome.next_steps import next_steps

        typer.echo("\n".join(next_steps()))


app.command(cls=HelpCommand)(chat.chat)
app.command()(ask.ask)
app.command(cls=HelpCommand)(chat.demo)
app.command(cls=HelpCommand)(serve.serve)
app.command()(doctor.doctor)
app.add_typer(bench.app, name="bench")
app.add_typer(config.app, name="config")
app.add_typer(devices.app, name="devices")
app.add_typer(evaluation.app, name="eval")
app.add_typer(fd.app, name="fd")
app.add_typer(models.app, name="models")
app.add_typer(sessions.app, name="sessions")
app.add_typer(train.app, name="train")
app.add_typer(voices.app, name="voices")
