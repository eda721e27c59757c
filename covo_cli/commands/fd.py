"""``covo fd``: make a full-duplex network of the half-duplex one, stage by stage."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Protocol

import typer

from covo_cli.commands.common import voice_store, weight_store
from covo_cli.errors import CliError
from covo_cli.fd.ears import commands as ears
from covo_cli.fd.proving import prove
from covo_cli.process.alone import working_in

if TYPE_CHECKING:
    from covo_cli.fd.init import WorkTerms
    from covo_cli.fd.recipe import FdRecipe
    from covo_cli.fd.work import Stage

app = typer.Typer(
    no_args_is_help=True,
    help="Make your own full-duplex network of Covo-Audio-Chat (docs/full-duplex-from-half.md).",
)

app.add_typer(ears.app, name="ears")

_DryRun = Annotated[
    bool, typer.Option("--dry-run", help="Tell hours, disk and memory, and do nothing.")
]
_Gpu = Annotated[str, typer.Option(help="The card to reckon with; default: this machine's.")]
_Folder = Annotated[Path, typer.Argument(metavar="FOLDER", help="Folder of the whole work.")]
_Device = Annotated[str, typer.Option(help="auto, cuda, cuda:1, mps or cpu.")]


class _Work(Protocol):
    """A stage that is run here: ``done`` of its length."""

    stage: Stage

    @property
    def done(self) -> float: ...

    def __len__(self) -> int: ...

    def run(self) -> Iterator[float]: ...


@app.command()
def init(
    folder: _Folder,
    size: Annotated[
        str, typer.Option(help="s: 50 h of dialogue, a rehearsal; m: 500 h; l: 2,000 h.")
    ] = "m",
    model: Annotated[
        str, typer.Option(help="The half-duplex weights: a name or a folder.")
    ] = "covo-audio-chat",
    speaker: Annotated[
        str, typer.Option(help="The speaker's name in the system prompt.")
    ] = "default_female",
    accept_license: Annotated[
        bool, typer.Option("--accept-license", help="Accept the licence of the weights.")
    ] = False,
) -> None:
    """Begin a work: agree to the licence, and write recipe.toml and duplex.json."""
    _check_packages()
    from covo_cli.fd.init import begin
    from covo_cli.fd.recipe import Size
    from covo_cli.process.program import program
    from covo_cli.settings.settings import load_settings

    if size not in list(Size):
        raise CliError(f"--size must be {', '.join(Size)}, not {size!r}")

    def accept(terms: WorkTerms) -> bool:
        typer.echo("\n".join(terms.lines), err=True)
        if accept_license:
            return True
        if not sys.stdin.isatty():
            raise CliError("cannot prompt for the licence: not a terminal; pass --accept-license")
        return typer.confirm("Do you accept this, and is your use academic?", err=True)

    begin(folder, load_settings(), Size(size), model, speaker, accept)
    typer.echo(f"Begun in {folder}. Next: {program()} fd questions {folder} --prompts FILE")


@app.command()
def cost(folder: _Folder, gpu: _Gpu = "") -> None:
    """Tell hours, disk and memory of all stages, and do nothing.

    Counts a step of the training for half a minute.
    """
    recipe = _recipe(folder)
    from covo_cli.fd.sizing import STAGES
    from covo_cli.process.packages import require_packages

    require_packages("train", "peft")
    for stage in STAGES:
        _tell_cost(stage, folder, recipe, gpu)


@app.command()
def prompts(
    folder: _Folder,
    device: _Device = "auto",
    dry_run: _DryRun = False,
    gpu: _Gpu = "",
) -> None:
    """Let the half-duplex weights write the prompts.

    Goes on where it was stopped.
    """
    from covo_cli.process.program import program

    with _begun(folder, "prompts", dry_run=dry_run, gpu=gpu) as recipe:
        from covo_cli.fd.prompts import FILE, Prompts

        work = Prompts(folder, recipe, _on(device))
        _run("prompts", work)
    written = work.stage.folder / FILE
    typer.echo(f"Next: {program()} fd questions {folder} --prompts {written}")


@app.command()
def questions(
    folder: _Folder,
    prompts: Annotated[
        Path | None, typer.Option(help="File of prompts to say, a line each.", exists=True)
    ] = None,
    recordings: Annotated[
        Path | None,
        typer.Option(
            help="Folder of recorded prompts, a folder for each speaker; .txt beside one: its "
            "words.",
            exists=True,
            file_okay=False,
        ),
    ] = None,
    dry_run: _DryRun = False,
    gpu: _Gpu = "",
) -> None:
    """Draw conversations from prompts, and say them in the embedded voices.

    Goes on where it was stopped.
    """
    with _begun(folder, "questions", dry_run=dry_run, gpu=gpu) as recipe:
        from covo_cli.fd.questions import Questions, read_prompts
        from covo_cli.fd.voices import mouth
        from covo_cli.settings.settings import load_settings

        said = read_prompts(prompts, recordings)
        _run("conversations", Questions(folder, recipe, said, mouth(load_settings(), recipe)))


@app.command()
def answers(
    folder: _Folder,
    device: _Device = "auto",
    dry_run: _DryRun = False,
    gpu: _Gpu = "",
) -> None:
    """Let the half-duplex weights answer the conversations.

    Goes on where it was stopped.
    """
    with _begun(folder, "answers", dry_run=dry_run, gpu=gpu) as recipe:
        from covo_cli.fd.answers import Answers

        _run("conversations", Answers(folder, recipe, _on(device)))


@app.command()
def dialogues(folder: _Folder, dry_run: _DryRun = False, gpu: _Gpu = "") -> None:
    """Lay the answered conversations out in time, and write them for training.

    Goes on where it was stopped.
    """
    with _begun(folder, "dialogues", dry_run=dry_run, gpu=gpu) as recipe:
        from covo_cli.fd.dialogues import Dialogues

        _run("seconds of dialogue", Dialogues(folder, recipe))


@app.command()
def encoder(
    folder: _Folder,
    device: _Device = "auto",
    dry_run: _DryRun = False,
    gpu: _Gpu = "",
) -> None:
    """Teach the encoder to hear in chunks, and write the checkpoint that training begins with.

    Goes on where it was stopped.
    """
    from covo_cli.process.program import program

    with _begun(folder, "encoder", dry_run=dry_run, gpu=gpu) as recipe:
        from covo_cli.fd.encoder import EncoderStage

        _run("steps", EncoderStage(folder, recipe, _on(device)))
    typer.echo(f"Next: {program()} train duplex --config {folder / 'train.toml'}")


@app.command()
def calibrate(
    folder: _Folder,
    device: _Device = "auto",
    dry_run: _DryRun = False,
    gpu: _Gpu = "",
) -> None:
    """Set when the trained student begins and stops, from the held-out conversations.

    Goes on where it was stopped, and writes both biases into its duplex.json.
    """
    with _begun(folder, "calibrate", dry_run=dry_run, gpu=gpu) as recipe:
        from covo_cli.fd.judging.calibrating import CalibrationStage

        _run("dialogues", CalibrationStage(folder, recipe, _on(device)))


@app.command()
def compare(
    folder: _Folder,
    keys: Annotated[
        Path | None,
        typer.Option(
            help="File of wanted words: a line for each question, a tab, words|other words.",
            exists=True,
        ),
    ] = None,
    device: _Device = "auto",
    dry_run: _DryRun = False,
    gpu: _Gpu = "",
) -> None:
    """Compare the student's answers to the held-out questions with its teacher's.

    Goes on where it was stopped. Exits with 1 if a gate is missed.
    """
    with _begun(folder, "compare", dry_run=dry_run, gpu=gpu) as recipe:
        from covo_cli.fd.judging.comparing import ComparisonStage
        from covo_cli.fd.judging.sound import sound_reader
        from covo_cli.fd.records import TRAINED

        where, speaker = _on(device), recipe.model.speaker
        read = sound_reader(folder / TRAINED, speaker, where, weight_store(), voice_store())
        stage = ComparisonStage(folder, recipe, where, keys, read)
        _run("questions asked, and answers judged and heard", stage)
    if stage.comparison.missed:
        raise typer.Exit(1)


@contextmanager
def _begun(folder: Path, stage: str, *, dry_run: bool, gpu: str) -> Iterator[FdRecipe]:
    """Yield the recipe of a work, while no other process works in it. With ``dry_run`` only tell
    what the ``stage`` takes. Raises: CliError."""
    recipe = _recipe(folder)
    if dry_run:
        _tell_cost(stage, folder, recipe, gpu)
        raise typer.Exit
    with working_in(folder):
        yield recipe


def _on(device: str) -> str:
    """Return the name by which torch knows ``device``. Raises: NetworkConfigError."""
    from model.covo.config.device import named_device

    return str(named_device(device))


def _tell_cost(stage: str, folder: Path, recipe: FdRecipe, gpu: str) -> None:
    from covo_cli.fd.sizing import cost_lines, find_card, stage_cost

    card = find_card(gpu)
    for line in cost_lines(stage, stage_cost(stage, recipe, card), card, folder):
        typer.echo(line)


def _recipe(folder: Path) -> FdRecipe:
    """Read the recipe of a work whose licence was agreed to. Raises: CliError."""
    _check_packages()
    from covo_cli.fd.init import check_consent
    from covo_cli.fd.recipe import FdRecipe

    recipe = FdRecipe.read(folder)
    check_consent(folder)
    return recipe


def _check_packages() -> None:
    from covo_cli.engines.covo_engine import check_packages

    check_packages()


def _run(what: str, work: _Work) -> None:
    """Run the rest of ``work``, counted in ``what``, with the time left, and tell what it made."""
    from covo_cli.fd.work import MANIFEST, summary
    from covo_cli.process.terminal import PlainConsole, long_progress

    with long_progress(PlainConsole()) as progress:
        task = progress.add_task(what, total=len(work))
        progress.update(task, completed=work.done)
        for now in work.run():
            progress.update(task, completed=now)
    for line in summary(work.stage.folder):
        typer.echo(line)
    typer.echo(f"Complete: {work.stage.folder / MANIFEST}")


app.command()(prove)
