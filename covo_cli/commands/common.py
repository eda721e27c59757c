"""Flags, stores, printing and writing shared by several commands."""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

if TYPE_CHECKING:
    from audio_io.live.speaker import LiveSpeaker
    from model.weights.packages import WeightStore
    from voices.store import VoiceStore

JsonFlag = Annotated[bool, typer.Option("--json", help="Print JSON.")]
EventsFlag = Annotated[bool, typer.Option("--json", help="Print events as JSON lines.")]
YesFlag = Annotated[bool, typer.Option("--yes", "-y", help="Do not ask for confirmation.")]


def print_json(value: object) -> None:
    """Print ``value`` as indented JSON, escaped if a name in it is not Unicode."""
    text = json.dumps(value, indent=2, ensure_ascii=False)
    if any("\ud800" <= char <= "\udfff" for char in text):
        text = json.dumps(value, indent=2)
    typer.echo(text)


def warn(message: str) -> None:
    """Print a warning on stderr."""
    typer.echo(f"covo: warning: {message}", err=True)


def confirm(question: str, *, otherwise: str, default: bool = False) -> bool:
    """Return what the user answers to ``question``. Raises: CliError, with the remedy
    ``otherwise``, where nobody answers; Abort on Ctrl-C."""
    from covo_cli.errors import CliError

    try:
        return typer.confirm(question, default=default, err=True)
    except typer.Abort as error:
        if sys.stdin.isatty():
            raise
        typer.echo(err=True)  # ends the line of the question
        raise CliError(f"cannot prompt: not a terminal; {otherwise}") from error


def require_yes(question: str, *, yes: bool) -> None:
    """End the command unless the user agrees, by ``yes`` or now. Raises: CliError; Abort."""
    if not yes and not confirm(question, otherwise="pass --yes"):
        raise typer.Abort


def weight_store() -> WeightStore:
    """Open the embedded engine's weights. Raises: SettingsError."""
    from covo_cli.settings.settings import load_settings, models_dir
    from model.weights.packages import WeightStore

    return WeightStore(models_dir(load_settings()))


def voice_store() -> VoiceStore:
    """Open the voice packs."""
    from covo_cli.settings.settings import voices_dir
    from voices.store import VoiceStore

    return VoiceStore(voices_dir())


def chosen_speaker() -> LiveSpeaker:
    """Open the speaker chosen in the settings. Raises: SettingsError."""
    from audio_io.live.speaker import LiveSpeaker
    from covo_cli.settings.settings import load_settings

    return LiveSpeaker(load_settings().audio.output)


def warn_if_overridden(key: str) -> None:
    """Warn when an environment variable overrides the setting ``key``."""
    from covo_cli.settings.settings import find_option

    variable = find_option(key).variable
    if os.environ.get(variable):
        warn(f"{variable} is set and overrides it")


def _check_json(path: Path | None) -> Path | None:
    """Check, before measuring, that the figures can be written. Raises: CliError."""
    from tempfile import TemporaryFile

    from covo_cli.errors import CliError
    from covo_cli.process.whole_file import is_stream

    if path is None:
        return None
    if path.is_dir():
        raise CliError(f"{path} is a folder; name a file")
    try:
        if not is_stream(path):
            TemporaryFile(dir=path.parent).close()
    except OSError as error:
        raise CliError(f"cannot write {path}: {error.strerror}") from error
    return path


JsonFile = Annotated[
    Path | None,
    typer.Option("--json", callback=_check_json, help="Write the figures to this file as JSON."),
]


def save_json(path: Path | None, figures: dict[str, Any]) -> None:
    """Write ``figures`` to ``path`` atomically. Raises: CliError."""
    from covo_cli.errors import CliError
    from covo_cli.process import whole_file

    if path is None:
        return
    try:
        whole_file.write_text(path, json.dumps(figures, indent=2) + "\n")
    except OSError as error:
        raise CliError(f"cannot write {path}: {error.strerror}") from error


def say(text: str) -> None:
    """Say what is being done."""
    typer.secho(f"{text} ...", dim=True)


def print_figures(title: str, figures: dict[str, Any], without: tuple[str, ...] = ()) -> None:
    """Print ``figures`` as a table, but for those called ``without``."""
    from rich.table import Table

    from covo_cli.process.terminal import PlainConsole

    table = Table(title=title, show_header=False)
    for name, value in figures.items():
        if name in without:
            continue
        shown = value
        if isinstance(value, dict):
            shown = "  ".join(f"{key.replace('_', ' ')} {entry}" for key, entry in value.items())
        table.add_row(name.replace("_", " "), str(shown))
    PlainConsole().print(table)
