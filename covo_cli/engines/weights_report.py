"""Show the engines' weights as lines, as JSON and during a download."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import TYPE_CHECKING, TypeVar

import typer

from covo_cli.engines.model_choice import chat_memory
from model.weights.hub.source import ModelUse

if TYPE_CHECKING:
    from model.weights.files import PullProgress
    from model.weights.hub.source import HubModel
    from model.weights.hub.store import ModelStatus
    from model.weights.packages import PieceStatus

_SHOWN = 5
_T = TypeVar("_T")


def piece_lines(statuses: Sequence[PieceStatus]) -> Iterator[str]:
    """Describe the parts of the embedded engine's weights and how to get missing ones."""
    for status in statuses:
        piece = status.piece
        yield (
            f"{piece.name:<15} {status.state.value:<8} {shown_size(piece.size)}  "
            f"{piece.what} ({piece.licence}; {piece.publisher})"
        )
        if status.state == "damaged" or (status.problem and piece.module):
            yield f"{'':<15} {status.problem}"
    missing = [s for s in statuses if s.state != "ready" and not s.piece.module]
    if missing:
        size = sum(status.piece.download for status in missing)
        yield f"Download what is missing with `covo models pull lite` ({size / 1e6:.0f} MB)."


def model_lines(status: ModelStatus, *, in_use: bool = False) -> Iterator[str]:
    """Describe a hub model, whether lite uses it, and how to complete it."""
    model = status.model
    about = f"~{shown_size(model.about).strip()}" if model.about else ""
    size = shown_size(status.size) if status.size else f"{about:>9}"
    chosen = ", in use" if in_use else ""
    yield (
        f"{model.name:<15} {status.state.value:<8} {size}  "
        f"{model.what} ({model.licence.name}; {model.publisher}{chosen})"
    )
    if status.state != "missing":
        yield from _what_to_do(status)


def offer_line(model: HubModel) -> str:
    """Describe a model that is about to be pulled, as far as that is known without the hub."""
    memory = f", about {chat_memory(model.about) / 1e9:.1f} GB of memory while in use"
    return (
        f"{model.name}: {model.what} ({model.licence.name}; {model.publisher}), about "
        f"{shown_size(model.about).strip()} to download{memory * (model.use is ModelUse.CHAT)}"
    )


def model_info(status: ModelStatus) -> Iterator[str]:
    """Describe a hub model in full."""
    model, manifest, consent = status.model, status.manifest, status.consent
    facts = {
        "what": model.what,
        "state": status.state.value,
        "folder": str(status.folder),
        "hub": f"{model.hub.repo} at {manifest.hub.revision if manifest else model.hub.revision}",
        "code": f"{model.code.repo} at {model.code.revision}" if model.code.repo else "",
        "licence": model.licence.name,
        "accepted": (consent.accepted if consent else "not yet") if model.licence.file else "",
    }
    yield model.name
    yield from (f"  {name:<9} {fact}" for name, fact in facts.items() if fact)
    yield from (f"  {'':<9} {term}" for term in model.licence.terms)
    if manifest:
        yield f"  {'size':<9} {status.have / 1e9:.2f} of {manifest.size / 1e9:.2f} GB downloaded"
        yield from (f"  {shown_size(file.size)}  {file.name}" for file in manifest.files)
    yield from _what_to_do(status)


def terms_lines(model: HubModel, place: str) -> Iterator[str]:
    """Summarise a model's licence; ``place`` has its full text."""
    terms = ":" if model.licence.terms else ""
    yield f"{model.name} is licensed under the {model.licence.name}{terms}"
    yield from (f"  {term}" for term in model.licence.terms)
    yield f"  Full text: {place}"


def piece_dict(status: PieceStatus) -> dict[str, object]:
    """Convert a part of the embedded engine's weights for JSON."""
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


def model_dict(status: ModelStatus) -> dict[str, object]:
    """Convert a hub model for JSON. Sizes are null before the first pull."""
    model, manifest, consent = status.model, status.manifest, status.consent
    return {
        "name": model.name,
        "state": status.state.value,
        "problem": "; ".join(status.problems),
        "what": model.what,
        "licence": model.licence.name,
        "accepted": consent.accepted if consent else None,
        "publisher": model.publisher,
        "bytes": manifest.size if manifest else None,
        "download_bytes": manifest.size - status.have if manifest else None,
        "folder": str(status.folder),
        "repo": model.hub.repo,
        "revision": manifest.hub.revision if manifest else None,
        "code_repo": model.code.repo,
        "code_revision": manifest.code.revision if manifest else model.code.revision,
        "files": {file.name: file.digest for file in manifest.files} if manifest else {},
    }


def show_progress(work: Callable[[Callable[[PullProgress], None]], _T]) -> _T:
    """Do ``work`` with a progress bar; print a line per file if stderr is not a terminal."""
    from rich import progress as shown

    from covo_cli.process.terminal import PlainConsole

    console = PlainConsole(stderr=True)
    if not console.is_terminal:
        coming = ""

        def say(progress: PullProgress) -> None:
            nonlocal coming
            if progress.package != coming:
                coming = progress.package
                done, total = progress.done / 1e6, progress.total / 1e6
                so_far = f" ({done:.0f} of {total:.0f} MB so far)" if total else ""
                typer.echo(f"{coming}{so_far}", err=True)

        return work(say)

    columns = (
        *("{task.description}", shown.BarColumn(), shown.DownloadColumn()),
        *(shown.TransferSpeedColumn(), shown.TimeRemainingColumn()),
    )
    with shown.Progress(*columns, console=console) as bar:
        task = bar.add_task("checking", total=None)

        def show(progress: PullProgress) -> None:
            total = progress.total or None
            bar.update(task, description=progress.package, completed=progress.done, total=total)

        return work(show)


def _what_to_do(status: ModelStatus) -> Iterator[str]:
    pull = f"`covo models pull {status.model.name}`"
    if status.state == "missing":
        yield f"Download {status.model.name} with {pull}."
        return
    for problem in status.problems[:_SHOWN]:
        yield f"{'':<15} {problem}"
    if len(status.problems) > _SHOWN:
        yield f"{'':<15} and {len(status.problems) - _SHOWN} more"
    if status.state == "partial" and status.size:
        have, size = status.have / 1e9, status.size / 1e9
        yield f"{have:.2f} of {size:.2f} GB downloaded; resume with {pull}."
    elif status.state != "ready":
        yield f"Repair it with {pull}; intact files are kept."


def shown_size(size: int) -> str:
    """Return a number of bytes in kB, MB or GB, right-aligned."""
    for unit, name in ((1e9, "GB"), (1e6, "MB")):
        if size >= unit:
            return f"{size / unit:>6.1f} {name}"
    return f"{size / 1e3:>6.1f} kB"
