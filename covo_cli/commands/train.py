"""``covo train``: train networks of the Covo family, and the judge of the end of turns."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

import typer

from covo_cli.commands.common import JsonFile, print_figures, save_json

app = typer.Typer(no_args_is_help=True, help="Train networks.")


@app.command()
def duplex(
    config: Annotated[Path, typer.Option(help="TOML file of the training (see docs/duplex.md).")],
    threads: Annotated[int, typer.Option(help="CPU threads to use; 0: all cores.", min=0)] = 0,
    take: Annotated[
        int | None,
        typer.Option(help="Write the weights kept after this step as the result.", min=1),
    ] = None,
) -> None:
    """Train a full-duplex network on dialogues.

    A stopped run is resumed; one that is complete is left alone.
    """
    from rich.progress import TextColumn

    from covo_cli.engines.covo_engine import check_packages
    from covo_cli.process.terminal import PlainConsole, long_progress

    check_packages()
    import torch

    from covo_cli.process.alone import working_in
    from model.duplex.training.training import DONE, DuplexTrainer, is_trained
    from model.duplex.training.training_config import TrainingConfig

    console = PlainConsole()
    read = TrainingConfig.read(config)
    if threads:
        torch.set_num_threads(threads)
    # In a work of `covo fd`, its other commands are kept out as well.
    work = (config.parent / "recipe.toml").is_file()
    with (
        working_in(config.parent if work else read.network.output),
        long_progress(console, TextColumn("{task.fields[at]}")) as progress,
    ):
        if take is None and is_trained(read):
            console.print(
                f"{read.network.output} is trained already; to train it again, delete "
                f"{read.network.output / DONE}",
                soft_wrap=True,
            )
            return
        trainer = DuplexTrainer(read)
        if take is not None:
            trainer.take(take)
            console.print(f"Written: {read.network.output}, as it was after step {take}")
            return
        if trainer.step:
            console.print(f"Resuming after step {trainer.step}")
        steps = read.training.steps
        tenths = {-(-steps * number // 10) for number in range(1, 11)}
        task = progress.add_task("training", total=steps, completed=trainer.step, at="")
        for report in trainer.run():
            progress.update(task, completed=report.step, at=f"loss {report.loss:.3f}")
            if report.step in tenths:
                losses = "  ".join(f"{name} {value:.3f}" for name, value in report.losses.items())
                progress.console.print(f"step {report.step}: {losses}")
    if trainer.best is not None:
        for step, found in trainer.best.judgements.items():
            console.print(
                f"after step {step}: {100 * found.taken:.1f} % of the turns taken, "
                f"{100 * found.stopped:.1f} % of the interruptions stopped for, "
                f"{100 * found.written:.1f} % of the words its own"
            )
    console.print(f"Trained: {read.network.output}")


@app.command()
def tones(
    folder: Annotated[Path, typer.Argument(help="Folder to create.")],
    dialogues: Annotated[int, typer.Option(help="Number of dialogues.", min=1)] = 400,
    seed: Annotated[int, typer.Option(help="Random seed.", min=0)] = 0,
) -> None:
    """Make a small synthetic training set.

    Writes dialogues, an untrained network and train.toml.
    """
    from tempfile import TemporaryDirectory

    from rich.progress import Progress

    from covo_cli.engines.covo_engine import check_packages
    from covo_cli.errors import CliError
    from covo_cli.process.program import program
    from covo_cli.process.terminal import PlainConsole

    if folder.exists():
        raise CliError(f"{folder} already exists; choose another folder")
    check_packages()
    from model.duplex.tones.world import write_world

    console = PlainConsole()
    try:
        folder.parent.mkdir(parents=True, exist_ok=True)
        with (
            TemporaryDirectory(prefix=f".{folder.name}.", dir=folder.parent) as scratch,
            Progress(console=console) as progress,
        ):
            task = progress.add_task("dialogues", total=dialogues)
            part = Path(scratch) / folder.name  # renamed when complete
            write_world(part, dialogues, seed=seed, progress=lambda: progress.advance(task))
            part.rename(folder)
    except OSError as error:
        raise CliError(f"cannot write {folder}: {error.strerror or error}") from error
    console.print(
        f"Train on it with: {program()} train duplex --config {folder / 'train.toml'}",
        soft_wrap=True,
    )


@app.command()
def endings(
    language: Annotated[str, typer.Argument(help="Language of the texts: en or zh.")],
    heard: Annotated[
        Path, typer.Option(help="JSON lines of what was heard; continued if they are there.")
    ],
    out: Annotated[Path, typer.Option(help="File of the weights to write.")],
    voices: Annotated[
        str,
        typer.Option(
            help="Voices that say the examples; one named twice says twice as many. Empty: those "
            "of the language that are no user of a judged set."
        ),
    ] = "",
) -> None:
    """Train the weights that tell whether a turn is over.

    Says every example, collects what the models make of it, fits the weights, and judges the
    examples that were held out.
    """
    from rich.progress import track

    from covo_cli.endings.train import table, train
    from covo_cli.process.terminal import PlainConsole
    from covo_cli.settings.settings import load_settings

    console = PlainConsole()
    trained = train(
        load_settings(),
        language,
        voices.split(",") if voices else (),
        heard,
        lambda steps, count: track(steps, "listening", total=count, console=console),
    )
    trained.write(out)
    console.print(table(trained))
    console.print(f"Written: {out}")


def measure_training_step(
    size: Annotated[str, typer.Option(help="Size of the network: full or tiny.")] = "tiny",
    device: Annotated[str, typer.Option(help="Compute device: auto, cuda, cpu ...")] = "auto",
    rank: Annotated[int, typer.Option(help="Rank of the LoRA adapters.", min=1)] = 64,
    positions: Annotated[int, typer.Option(help="Tokens in a step.", min=64)] = 8192,
    optimizer: Annotated[
        Literal["adamw", "adamw8bit"], typer.Option(help="AdamW's moments in float32 or 8 bits.")
    ] = "adamw",
    steps: Annotated[int, typer.Option(help="Number of steps to time.", min=1)] = 10,
    json_file: JsonFile = None,
) -> None:
    """Measure steps of full-duplex training.

    Counts a step's memory and operations; times it as well on a GPU, and elsewhere unless the
    network has its full size. The weights are random.
    """
    from covo_cli.engines.covo_engine import check_packages
    from covo_cli.process.packages import require_packages
    from covo_cli.process.terminal import PlainConsole

    check_packages()
    require_packages("train", "peft")
    from covo_cli.bench.duplex.training import TrainBench, measure_training
    from covo_cli.bench.goals import goals_table
    from model.covo.config.device import named_device

    where = named_device(device)
    timed = where.type == "cuda" or size != "full"
    bench = TrainBench(size, where, rank, positions, optimizer, steps, timed)
    console = PlainConsole()
    with console.status("") as status:
        figures = measure_training(bench, status.update)
    save_json(json_file, figures)
    print_figures("A step of training", figures, without=("machine", "goals"))
    console.print(goals_table(figures))
