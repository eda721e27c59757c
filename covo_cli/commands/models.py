"""``covo models``: the weights of the engines on this machine.

``lite`` is the embedded engine, with weights from packages (:mod:`model.weights.packages`); the
others are models of the hub (:mod:`model.weights.hub`).
"""

from __future__ import annotations

import sys
from functools import partial
from typing import TYPE_CHECKING, Annotated

import typer

from covo_cli.commands.common import (
    JsonFlag,
    YesFlag,
    print_json,
    require_yes,
    warn_if_overridden,
    weight_store,
)
from covo_cli.errors import CliError

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

    from model.weights.hub.source import HubModel
    from model.weights.hub.store import HubStore, ModelStatus

app = typer.Typer(no_args_is_help=True, help="Download, verify and remove model weights.")

_LITE = "lite"
_NAMES = "lite (the embedded engine) or a model of `covo models list`"
_Name = Annotated[str, typer.Argument(metavar="MODEL", help=f"{_NAMES}.")]
_Maybe = Annotated[
    str, typer.Argument(metavar="[MODEL]", help=f"{_NAMES}; default: all.", show_default=False)
]


@app.command("list")
def list_models(as_json: JsonFlag = False) -> None:
    """List the models and their state."""
    from covo_cli.engines import weights_report as shown
    from covo_cli.engines.model_choice import in_use
    from covo_cli.settings.settings import load_settings

    pieces, models = weight_store().status(), _hub().status()
    if as_json:
        print_json([*map(shown.piece_dict, pieces), *map(shown.model_dict, models)])
        return
    for line in shown.piece_lines(pieces):
        typer.echo(line)
    settings = load_settings()
    for model in models:
        for line in shown.model_lines(model, in_use=in_use(model.model, settings)):
            typer.echo(line)
    if any(model.state == "missing" for model in models):
        typer.echo("Download one that is missing with `covo models pull MODEL`.")


@app.command()
def info(name: _Name, as_json: JsonFlag = False) -> None:
    """Show a model's files, revision and licence."""
    from covo_cli.engines import weights_report as shown

    _known(name)
    if name == _LITE:
        pieces = weight_store().status()
        if as_json:
            print_json(list(map(shown.piece_dict, pieces)))
        else:
            typer.echo("\n".join(shown.piece_lines(pieces)))
        return
    status = _status(name)
    if as_json:
        print_json(shown.model_dict(status))
    else:
        typer.echo("\n".join(shown.model_info(status)))


@app.command()
def pull(
    name: _Name = _LITE,
    accept_license: Annotated[
        bool,
        typer.Option("--accept-license", help="Accept the licence (`covo models license`)."),
    ] = False,
    revision: Annotated[
        str,
        typer.Option(
            help="Commit, branch or tag on the hub; default: that of the first pull.",
            show_default=False,
        ),
    ] = "",
) -> None:
    """Download missing weights, resuming an interrupted pull.

    lite: about 390 MB. chat-small, -medium, -large: better chat models for lite, 0.5, 1.1 and
    2.5 GB; lite uses the one that was pulled last if it fits the memory. whisper-small, -turbo:
    better recognisers, 0.5 and 1.6 GB. covo-audio-chat: about 18 GB, for academic use only.
    """
    from covo_cli.engines import weights_report as shown

    _known(name)
    if name == _LITE:
        if revision or accept_license:
            raise CliError(
                "--revision and --accept-license do not apply to lite, only to models of the hub"
            )
        store = weight_store()
        fetched = ", ".join(piece.name for piece in shown.show_progress(store.pull))
        folder = store.folder
    else:
        hub = _hub()
        if (model := hub.find(name)).about and _status(name).state != "ready":
            typer.echo(shown.offer_line(model), err=True)
        # Ask before drawing the progress bar.
        hub.accept_licence(name, partial(_accepts, accepted=accept_license))
        files = shown.show_progress(lambda tell: hub.pull(name, tell, revision=revision))
        fetched = f"{name} ({len(files)} files)" if files else ""
        folder = hub.folder(model)
    if not fetched:
        typer.echo(f"Nothing to download: {folder} is complete")
        return
    typer.echo(f"Downloaded {fetched} to {folder}")
    if name != _LITE:
        import psutil

        from covo_cli.engines.model_choice import choose_pulled

        free = psutil.virtual_memory().available
        _tell(choose_pulled(_status(name), free))


@app.command()
def suggest(as_json: JsonFlag = False) -> None:
    """Name the chat models that this machine could talk with.

    Measures for 1.5 s how fast the embedded one writes.
    """
    from covo_cli.engines import suggestion

    machine, models = suggestion.measured(weight_store()), _hub().status()
    suggestions = suggestion.suggestions(models, machine)
    if as_json:
        print_json(suggestion.suggestion_dict(machine, suggestions))
    else:
        _tell(suggestion.suggestion_lines(machine, suggestions))


@app.command()
def use(name: _Name) -> None:
    """Let the engine lite use a model that was pulled; lite: its own ones again."""
    from covo_cli.engines.model_choice import CHOSEN_BY, use_embedded, use_model

    _known(name)
    if name == _LITE:
        _tell(use_embedded())
        keys = tuple(CHOSEN_BY.values())
    else:
        status = _status(name)
        if status.model.use in CHOSEN_BY:
            status.check_ready()
        _tell(use_model(status.model))
        keys = (CHOSEN_BY[status.model.use],)
    for key in keys:
        warn_if_overridden(key)


@app.command()
def verify(name: _Maybe = "", as_json: JsonFlag = False) -> None:
    """Verify the checksums of all files.

    Without MODEL: lite, and the hub models that are here at least in part. Exits with 1 if a file
    is missing or damaged.
    """
    from covo_cli.engines import weights_report as shown

    if name:
        _known(name)
    hub = _hub()
    chosen = [s.model.name for s in hub.status() if s.state != "missing"] if not name else [name]
    pieces = weight_store().verify() if name in ("", _LITE) else []
    models = [shown.show_progress(partial(hub.verify, one)) for one in chosen if one != _LITE]
    if as_json:
        print_json([*map(shown.piece_dict, pieces), *map(shown.model_dict, models)])
    else:
        for line in (
            *shown.piece_lines(pieces),
            *(line for m in models for line in shown.model_lines(m)),
        ):
            typer.echo(line)
    states = [piece.state.value for piece in pieces] + [model.state.value for model in models]
    if any(state != "ready" for state in states):
        raise typer.Exit(1)


@app.command()
def path(name: _Maybe = "") -> None:
    """Print the folder of the weights or of a model."""
    if name:
        _known(name)
    hub = _hub()
    if name == _LITE:
        typer.echo(weight_store().folder)
    else:
        typer.echo(hub.folder(hub.find(name)) if name else hub.root)


@app.command("license")
def show_license(name: _Name = "covo-audio-chat") -> None:
    """Show a model's licence.

    The full text is shown once the model has been pulled.
    """
    from pathlib import Path

    from covo_cli.engines import weights_report as shown

    _known(name)
    if name == _LITE:
        typer.echo("\n".join(shown.piece_lines(weight_store().status())))
        return
    hub = _hub()
    place = hub.licence_place(name)
    typer.echo("\n".join(shown.terms_lines(hub.find(name), place)))
    if Path(place).is_file():
        typer.echo(f"\n{Path(place).read_text(encoding='utf-8')}")


@app.command()
def remove(
    name: _Name,
    yes: YesFlag = False,
) -> None:
    """Delete a model's weights."""
    _known(name)
    lite, hub = weight_store(), _hub()
    folder = lite.folder if name == _LITE else hub.folder(hub.find(name))
    require_yes(f"Delete {folder}?", yes=yes)
    freed = lite.remove() if name == _LITE else hub.remove(name)
    typer.echo(f"Freed {freed / 1e6:.0f} MB")
    if name != _LITE:
        from covo_cli.engines.model_choice import forget_model

        _tell(forget_model(hub.find(name)))


def _tell(lines: Iterable[str]) -> None:
    for line in lines:
        typer.echo(line)


def _status(name: str) -> ModelStatus:
    return next(status for status in _hub().status() if status.model.name == name)


def _accepts(model: HubModel, text: Path, *, accepted: bool) -> bool:
    from covo_cli.engines import weights_report as shown

    typer.echo("\n".join(shown.terms_lines(model, str(text))), err=True)
    if accepted:
        return True
    if not sys.stdin.isatty():
        raise CliError(
            f"cannot prompt for the licence of {model.name}: not a terminal; read {text}, then "
            "pull with --accept-license"
        )
    return typer.confirm("Do you accept it, and is your use academic?", err=True)


def _hub() -> HubStore:
    from covo_cli.settings.settings import load_settings, models_dir
    from model.weights.hub.store import HubStore

    settings = load_settings()
    return HubStore(
        models_dir(settings), hub=settings.models.hub, code_host=settings.models.code_host
    )


def _known(name: str) -> None:
    names = [_LITE, *(model.name for model in _hub().models)]
    if name not in names:
        raise CliError(f"no model {name!r}; known: {', '.join(names)}")
