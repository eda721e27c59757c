"""Offer the embedded engine's weights where they are missing, and go on with them."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator, Sequence
from typing import TypeVar

import typer

from covo_cli.engines.weights_report import show_progress, shown_size
from covo_cli.settings.settings import Settings, models_dir
from model.errors import MissingPieceError
from model.weights.manifest import Piece
from model.weights.packages import WeightStore

_Built = TypeVar("_Built")


def with_weights(build: Callable[[], _Built], settings: Settings, *, ask: bool) -> _Built:
    """Return what ``build`` returns, after a pull if it lacks weights and the user agrees.

    Asks only at a terminal, and if ``ask``. Raises: what ``build`` raises, also when the user
    declines; WeightsError when the pull fails.
    """
    try:
        return build()
    except MissingPieceError:
        if not (ask and sys.stdin.isatty() and sys.stderr.isatty()):
            raise
        store = WeightStore(models_dir(settings))
        for line in _offer(store.to_pull(), str(store.folder)):
            typer.echo(line, err=True)
        if not typer.confirm("Download them now?", default=True, err=True):
            raise
        show_progress(store.pull)
    return build()


def _offer(pieces: Sequence[Piece], folder: str) -> Iterator[str]:
    size = shown_size(sum(piece.download for piece in pieces)).strip()
    yield f"covo needs the weights of its models: {size} to download, once, to {folder}"
    for piece in pieces:
        yield f"{piece.name:<15} {shown_size(piece.size)}  {piece.what} ({piece.licence})"
