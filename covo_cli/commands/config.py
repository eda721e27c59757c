"""``covo config``: show and change the settings."""

from __future__ import annotations

import json
from typing import Annotated

import typer

from covo_cli.commands.common import JsonFlag, confirm, print_json, warn_if_overridden

app = typer.Typer(no_args_is_help=True, help="Show and change the settings.")


def _complete_key(incomplete: str) -> list[tuple[str, str]]:
    from covo_cli.settings.settings import OPTIONS

    return [(o.key, o.help) for o in OPTIONS.values() if o.key.startswith(incomplete)]


_Key = Annotated[
    str,
    typer.Argument(
        help="A setting, such as turns.silence (covo config show).", autocompletion=_complete_key
    ),
]


@app.command()
def show(as_json: JsonFlag = False) -> None:
    """Show every setting, its value and origin."""
    from covo_cli.settings.settings import OPTIONS, SettingSource, config_path, load_settings

    settings, path = load_settings(), config_path()
    rows = [(option, settings.value(option.key)) for option in OPTIONS.values()]
    if as_json:
        values = {
            option.key: {
                "value": _without_secrets(value),
                "from": settings.origins[option.key].place,
                "default": option.default,
                "variable": option.variable,
                "allowed": option.allowed,
                "help": option.help,
            }
            for option, value in rows
        }
        print_json({"file": str(path), "settings": values})
        return

    from rich.table import Table

    from covo_cli.process.terminal import PlainConsole

    table = Table("setting", "value", "from", "meaning", box=None, header_style="bold")
    for option, value in rows:
        origin = settings.origins[option.key]
        place = origin.place.replace(f"{path}, ", "file, ")
        style = "dim" if origin.source is SettingSource.DEFAULT else "none"
        table.add_row(option.key, _shown(value), place, option.help, style=style)
    console = PlainConsole()
    console.print(table)
    there = "" if path.exists() else " (does not exist yet)"
    console.print(f"file: {path}{there}", soft_wrap=True)


@app.command()
def path() -> None:
    """Print the path of the settings file."""
    from covo_cli.settings.settings import config_path

    typer.echo(config_path())


@app.command("set", context_settings={"ignore_unknown_options": True})
def set_value(
    key: _Key, value: Annotated[str, typer.Argument(help="New value; '' for empty.")]
) -> None:
    """Set a value in the settings file.

    Comments in the file are kept.
    """
    from covo_cli.settings.settings import parse_setting, save_setting

    parsed = parse_setting(key, value)
    file = save_setting(key, parsed)
    typer.echo(f"{key} = {_shown(parsed)} (in {file})")
    warn_if_overridden(key)


@app.command()
def unset(key: _Key) -> None:
    """Remove a setting from the settings file."""
    from covo_cli.settings.settings import unset_setting

    removed = unset_setting(key)
    typer.echo(f"{key} removed" if removed else f"{key} was not in the settings file")


@app.command()
def edit() -> None:
    """Edit the settings file in $VISUAL or $EDITOR.

    The file is checked before it is saved.
    """
    import click

    from covo_cli.errors import SettingsError
    from covo_cli.settings.settings import check_text, config_path
    from covo_cli.settings.settings_file import read_text, write_text

    file = config_path()
    draft = read_text(file)
    if draft is None:
        draft = _template()
    while True:
        try:
            edited = click.edit(draft, extension=".toml")
        except (click.ClickException, OSError) as error:
            failed = isinstance(error, click.ClickException)
            why = str(error) if failed else f"Editing failed: {error}"
            raise SettingsError(f"{why}: set VISUAL or EDITOR, or edit {file} yourself") from error
        if edited is None:
            typer.echo("no changes")
            return
        try:
            check_text(edited)
        except SettingsError as error:
            typer.echo(f"covo: {error}", err=True)
            kept = f"{file} is unchanged"
            if not confirm("Edit again? (No: keep the old file)", otherwise=kept, default=True):
                raise typer.Exit(1) from error
            draft = edited
        else:
            write_text(file, edited)
            typer.echo(f"saved {file}")
            return


def _template() -> str:
    """Return a settings file with every default as a comment."""
    from covo_cli.settings.settings import OPTIONS

    lines = ["# Settings of covo. Uncomment a line to change its value.", ""]
    section = ""
    for option in OPTIONS.values():
        if option.section != section:
            section = option.section
            lines += ["", f"[{section}]"] if lines[-1] else [f"[{section}]"]
        lines += [
            f"# {option.help} ({option.allowed})",
            f"# {option.name} = {_toml(option.default)}",
        ]
    return "\n".join(lines) + "\n"


def _shown(value: object) -> str:
    value = _without_secrets(value)
    return json.dumps(value) if isinstance(value, int | float) else str(value) or '""'


def _without_secrets(value: object) -> object:
    from model.secrets import without_secrets

    return without_secrets(value) if isinstance(value, str) else value


def _toml(value: object) -> str:
    return json.dumps(value)  # valid TOML for bool, number and text
