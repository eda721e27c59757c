"""Command-line flags, generated from the settings."""

from __future__ import annotations

import functools
import inspect
import typing
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any

import typer

from covo_cli.settings.option import Option
from covo_cli.settings.settings import OPTIONS

Command = Callable[..., None]
Completion = Callable[[str], list[str]]


def with_flags(
    keys: Sequence[str] | Mapping[str, Sequence[str]],
    completions: Mapping[str, Completion] | None = None,
) -> Callable[[Command], Command]:
    """Add a flag to a command for each setting in ``keys``, which may be grouped by heading.

    The command receives the values unchecked, by key, as ``flags``, to pass to ``load_settings``.
    ``completions``: shell completion by key.
    """
    groups = keys if isinstance(keys, Mapping) else {"": keys}
    options = [(OPTIONS[key], panel) for panel, group in groups.items() for key in group]

    def decorate(command: Command) -> Command:
        @functools.wraps(command)
        def run(**given: Any) -> None:
            values = {option.key: given.pop(_name(option)) for option, _ in options}
            flags = {k: _text(v) if isinstance(v, Path) else v for k, v in values.items()}
            command(flags=flags, **given)

        hints = typing.get_type_hints(command, include_extras=True)
        own = inspect.signature(command).parameters.values()
        parameters = [_parameter(option, panel, completions or {}) for option, panel in options]
        parameters += [p.replace(annotation=hints[p.name]) for p in own if p.name != "flags"]
        parameters = [p.replace(kind=inspect.Parameter.KEYWORD_ONLY) for p in parameters]
        run.__signature__ = inspect.Signature(parameters)  # type: ignore[attr-defined]
        run.__annotations__ = {p.name: p.annotation for p in parameters}
        return run

    return decorate


def for_every_engine(flags: Mapping[str, object]) -> dict[str, object]:
    """Return ``flags`` with --voice and --model as the settings of each engine that has them."""
    voice, model = flags["voice.name"], flags["covo.model"]
    return {**flags, "covo.voice": voice, "remote.voice": voice, "remote.model": model}


def _parameter(
    option: Option, panel: str, completions: Mapping[str, Completion]
) -> inspect.Parameter:
    declaration, metavar = option.flag, None
    if option.type is bool:
        declaration += f"/--no-{option.flag.removeprefix('--')}"
    elif option.choices:
        metavar = f"<{'|'.join(option.choices)}>"
    elif option.within:
        metavar = "<{:g} to {:g}>".format(*option.within)
    complete = completions.get(option.key)
    if option.choices:
        complete = _completion(option.choices)
    info = typer.Option(
        declaration,
        help=option.help,
        metavar=metavar,
        autocompletion=complete,
        rich_help_panel=panel or None,
    )
    kind: Any = Path if option.is_file else option.type
    return inspect.Parameter(
        _name(option),
        inspect.Parameter.KEYWORD_ONLY,
        default=None,
        annotation=Annotated[kind | None, info],
    )


def _completion(choices: Sequence[str]) -> Completion:
    def complete(incomplete: str) -> list[str]:
        return [choice for choice in choices if choice.startswith(incomplete)]

    return complete


def _text(path: Path) -> str:
    """Return ``path`` as it was typed: an empty one names no file."""
    return "" if path == Path() else str(path)


def _name(option: Option) -> str:
    return option.flag.removeprefix("--").replace("-", "_")
