"""``covo models``: the weights of the engines on this machine.

``lite`` is the embedded engine, whose weights come from packages (:mod:`model.weights.packages`);
every other name is a model of the hub (:mod:`model.weights.hub`).
"""

from __future__ import annotations

import json
import sys
from functools import partial
from typing import TYPE_CHECKING, Annotated

import typer

from covo_cli.errors import CliError

if TYPE_CHECKING:
    from pathlib import Path

    from model.weights.hub.source import HubModel
    from model.weights.hub.store import HubStore
    from model.weights.packages import WeightStore

app = typer.Typer(
    no_args_is_help=True,
    help="The weights of the engines: fetch, check and remove them.",
)

_LITE = "lite"
_NAMES = "lite, the embedded engine, or covo-audio-chat"
_Name = Annotated[str, typer.Argument(metavar="MODEL", help=f"{_NAMES}.")]
_Maybe = Annotated[
    str, typer.Argument(metavar="[MODEL]", help=f"{_NAMES}; else all.", show_default=False)
]
_Json = Annotated[bool, typer.Option("--json", help="Print JSON.")]


@app.command("list")
def list_models(as_json: _Json = False) -> None:
    """Show which weights are here, and what they are."""
    from covo_cli.engines.weights_report import model_dict, model_lines, piece_dict, piece_lines

    pieces, models = _lite().status(), _hub().status()
    if as_json:
        _print_json([*map(piece_dict, pieces), *map(model_dict, models)])
        return
    for line in piece_lines(pieces):
        typer.echo(line)
    for model in models:
        for line in model_lines(model):
            typer.echo(line)


@app.command()
def info(name: _Name, as_json: _Json = False) -> None:
    """Show a model's files, sizes, revision and licence, and what is missing."""
    from covo_cli.engines.weights_report import model_dict, model_info, piece_dict, piece_lines

    _known(name)
    if name == _LITE:
        pieces = _lite().status()
        if as_json:
            _print_json(list(map(piece_dict, pieces)))
        else:
            typer.echo("\n".join(piece_lines(pieces)))
        return
    status = next(status for status in _hub().status() if status.model.name == name)
    if as_json:
        _print_json(model_dict(status))
    else:
        typer.echo("\n".join(model_info(status)))


@app.command()
def pull(
    name: _Name = _LITE,
    accept_license: Annotated[
        bool,
        typer.Option(
            "--accept-license", help="Accept the model's licence: see `covo models license`."
        ),
    ] = False,
    revision: Annotated[
        str,
        typer.Option(
            help="Commit, branch or tag of the model hub. Without it the commit of the first pull "
            "is kept.",
            show_default=False,
        ),
    ] = "",
) -> None:
    """Fetch the weights that are missing; an interrupted pull goes on where it stopped.

    lite: about 300 MB. covo-audio-chat: about 18 GB, for academic use only.
    """
    from covo_cli.engines.weights_report import show_progress

    _known(name)
    if name == _LITE:
        if revision or accept_license:
            raise CliError(
                "--revision and --accept-license are for models of the hub, not for lite"
            )
        store = _lite()
        fetched = ", ".join(piece.name for piece in show_progress(store.pull))
        folder = store.folder
    else:
        hub = _hub()
        # The question is asked before the bar is drawn.
        hub.accept_licence(name, partial(_accepts, accepted=accept_license))
        files = show_progress(lambda tell: hub.pull(name, tell, revision=revision))
        fetched = f"{name} ({len(files)} files fetched)" if files else ""
        folder = hub.folder(hub.find(name))
    if fetched:
        typer.echo(f"Ready: {fetched} in {folder}")
    else:
        typer.echo(f"Nothing to fetch: all weights are in {folder}")


@app.command()
def verify(name: _Maybe = "", as_json: _Json = False) -> None:
    """Read every byte and compare it with what was published; exit code 1 if anything is wrong.

    Without MODEL: lite, and the models of the hub of which anything is here.
    """
    from covo_cli.engines.weights_report import (
        model_dict,
        model_lines,
        piece_dict,
        piece_lines,
        show_progress,
    )

    if name:
        _known(name)
    hub = _hub()
    chosen = [s.model.name for s in hub.status() if s.state != "missing"] if not name else [name]
    pieces = _lite().verify() if name in ("", _LITE) else []
    models = [show_progress(partial(hub.verify, one)) for one in chosen if one != _LITE]
    if as_json:
        _print_json([*map(piece_dict, pieces), *map(model_dict, models)])
    else:
        for line in (*piece_lines(pieces), *(line for m in models for line in model_lines(m))):
            typer.echo(line)
    states = [piece.state.value for piece in pieces] + [model.state.value for model in models]
    if any(state != "ready" for state in states):
        raise typer.Exit(1)


@app.command()
def path(name: _Maybe = "") -> None:
    """Print the folder of the weights, or of one model."""
    if name:
        _known(name)
    hub = _hub()
    if name == _LITE:
        typer.echo(_lite().folder)
    else:
        typer.echo(hub.folder(hub.find(name)) if name else hub.root)


@app.command("license")
def show_license(name: _Name = "covo-audio-chat") -> None:
    """Show what a model may be used for; once it was fetched, with the licence's full text."""
    from pathlib import Path

    from covo_cli.engines.weights_report import piece_lines, terms_lines

    _known(name)
    if name == _LITE:
        typer.echo("\n".join(piece_lines(_lite().status())))
        return
    hub = _hub()
    place = hub.licence_place(name)
    typer.echo("\n".join(terms_lines(hub.find(name), place)))
    if Path(place).is_file():
        typer.echo(f"\n{Path(place).read_text(encoding='utf-8')}")


@app.command()
def remove(
    name: _Name,
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Do not ask.")] = False,
) -> None:
    """Delete the weights of an engine."""
    _known(name)
    lite, hub = _lite(), _hub()
    folder = lite.folder if name == _LITE else hub.folder(hub.find(name))
    if not yes:
        typer.confirm(f"Delete {folder}?", abort=True)
    freed = lite.remove() if name == _LITE else hub.remove(name)
    typer.echo(f"Freed {freed / 1e6:.0f} MB")


def _accepts(model: HubModel, text: Path, *, accepted: bool) -> bool:
    from covo_cli.engines.weights_report import terms_lines

    typer.echo("\n".join(terms_lines(model, str(text))), err=True)
    if accepted:
        return True
    if not sys.stdin.isatty():
        raise CliError(
            f"{model.name} needs your consent to its licence, and nobody can be asked here: read "
            f"{text}, then pull with --accept-license"
        )
    return typer.confirm("Do you accept it, and is your use academic?", err=True)


def _lite() -> WeightStore:
    from covo_cli.settings.settings import load_settings, models_dir
    from model.weights.packages import WeightStore

    return WeightStore(models_dir(load_settings()))


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
        raise CliError(
            f"there are no weights for a model called {name!r}; there are: {', '.join(names)}"
        )


def _print_json(values: object) -> None:
    typer.echo(json.dumps(values, indent=2))
