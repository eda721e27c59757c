"""``covo fd ears``: Whisper base's encoder, chunk by chunk."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path
from typing import Annotated

import typer

from covo_cli.commands.common import JsonFile, save_json, say, weight_store

app = typer.Typer(
    no_args_is_help=True, help="Measure and train an encoder in chunks on real speech."
)


@app.command()
def measure(
    count: Annotated[
        int, typer.Option("--utterances", help="Utterances of synthetic voices.", min=2)
    ] = 48,
    recordings: Annotated[
        Path | None,
        typer.Option(
            help="Folder of people's speech, with the words in a .txt beside each recording.",
            exists=True,
            file_okay=False,
        ),
    ] = None,
    trained: Annotated[
        Path | None,
        typer.Option(help="What `covo fd ears train` wrote, to measure as well.", exists=True),
    ] = None,
    json_file: JsonFile = None,
) -> None:
    """Measure in words what an encoder hears that runs in chunks.

    Whisper base's encoder runs like that of full duplex, and its own decoder reads the result.
    """
    from rich.table import Table

    from covo_cli.bench.words import WORD_PACKAGES
    from covo_cli.engines.covo_engine import check_packages
    from covo_cli.process.packages import require_packages
    from covo_cli.process.terminal import PlainConsole
    from covo_cli.settings.settings import load_settings

    check_packages()
    require_packages("eval", *WORD_PACKAGES)
    from covo_cli.fd.ears.measuring import WhisperEars, measure_encoder
    from covo_cli.fd.ears.utterances import measured_utterances
    from covo_cli.fd.voices import say_in_voices

    say("the voices speak")
    spoken = list(measured_utterances(say_in_voices(load_settings()), count, recordings))
    ears = WhisperEars(weight_store().whole("whisper-base"))
    figures = measure_encoder(ears, spoken, trained, say)
    save_json(json_file, figures)
    groups = figures["utterances"]
    table = Table(
        "Words wrong, of them too many",
        *(f"{name} ({groups[name]['words']} words)" for name in groups),
    )
    for name, rates in figures["word_error_rate"].items():
        inserted = figures["inserted_words"][name]
        shares = (f"{100 * rates[group]:.1f} % ({100 * inserted[group]:.1f})" for group in groups)
        table.add_row(name, *shares)
    PlainConsole().print(table)


@app.command()
def train(
    folder: Annotated[Path, typer.Argument(help="Folder of the training; gone on with.")],
    steps: Annotated[int, typer.Option(help="Steps of 38 s of sound.", min=1)] = 1000,
    utterances: Annotated[int, typer.Option(help="Utterances to say beforehand.", min=2)] = 2000,
    chunk_ms: Annotated[int, typer.Option(help="Length of a chunk in ms.", min=20)] = 160,
    threads: Annotated[int, typer.Option(help="CPU threads to use.", min=1)] = 1,
) -> None:
    """Teach Whisper base's encoder to hear in chunks what it hears in one piece.

    The embedded voices speak, with noise and in rooms. Goes on where it was stopped. What
    encoder.safetensors holds meanwhile, the best encoder so far, can be measured.
    """
    from covo_cli.engines.covo_engine import check_packages
    from covo_cli.process.terminal import PlainConsole, long_progress
    from covo_cli.settings.settings import load_settings

    check_packages()
    import torch

    from covo_cli.fd.ears.training import ENCODER, EarsTrainer, EarsTraining
    from covo_cli.fd.recipe import default_sound
    from covo_cli.fd.voices import say_in_voices
    from covo_cli.process.alone import working_in

    torch.set_num_threads(threads)
    console = PlainConsole()
    with working_in(folder), long_progress(console) as progress:
        trainer = EarsTrainer(
            folder,
            weight_store().whole("whisper-base") / "model.bin",
            EarsTraining(steps, utterances, chunk_ms),
            default_sound(),
            say_in_voices(load_settings()),
        )
        begun = trainer.done
        said = progress.add_task("utterances", total=utterances, completed=min(begun, utterances))
        done = progress.add_task("steps", total=steps, completed=max(0, begun - utterances))
        told = 0
        for now in trainer.run():
            progress.update(said, completed=min(now, utterances))
            progress.update(done, completed=max(0, now - utterances))
            for one in list(trainer.judged)[told:]:
                left = progress.tasks[done].time_remaining  # None before the second step
                told_left = f", {timedelta(seconds=round(left))} left" if left else ""
                loss = f"loss {one.loss:.4f} on held-out utterances"
                console.print(f"step {one.step} of {steps}: {loss}{told_left}")
                told += 1
    console.print(f"Trained: {folder / ENCODER}")
