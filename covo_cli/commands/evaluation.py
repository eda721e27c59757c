"""``covo eval``: measure turn taking on scripted conversations."""

from __future__ import annotations

import os
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from covo_cli.commands.common import voice_store, weight_store
from covo_cli.evaluation import SCRIPTED, Kind, RecognizerName, SetName

if TYPE_CHECKING:
    from collections.abc import Callable

    from audio_io.signal import Audio
    from covo_cli.process.terminal import PlainConsole

app = typer.Typer(no_args_is_help=True, help="Measure turn taking on scripted conversations.")


BUSY = 0.5
"""Other processes per core at which measured times become unreliable."""

Pictures = Annotated[bool, typer.Option(help="Draw each failed conversation.")]


@app.callback()
def _group() -> None:
    """Measure turn taking on scripted conversations."""


@app.command()
def build(
    out: Annotated[Path, typer.Option(help="Folder of the set.")],
    name: Annotated[SetName, typer.Option("--set", help="Set to build.")] = SetName.STANDARD,
) -> None:
    """Build a set of scenarios.

    Speech that is already rendered is kept.
    """
    from rich.progress import track

    from covo_cli.evaluation.scenarios.scenario import write_set
    from covo_cli.evaluation.scenarios.sets import make_set
    from covo_cli.evaluation.scenarios.sounds import missing, render
    from covo_cli.process.terminal import PlainConsole
    from model.lite import SynthesizerMaker

    console = PlainConsole()
    scenarios = make_set(name)
    write_set(out, scenarios)
    voices = SynthesizerMaker(weight_store(), voice_store().get)
    rendered = render(scenarios, out, cache(voices))
    for _ in track(rendered, "Rendering", missing(scenarios, out), console=console):
        pass
    console.print(
        f"{len(scenarios.scenarios)} scenarios in {out} ({scenarios.about}). "
        f"Run them with: covo eval duplex {out} --out RUN",
    )


@app.command()
def duplex(
    scenarios: Annotated[Path, typer.Argument(help="Folder of a set.")],
    out: Annotated[Path, typer.Option(help="Folder of the run; an unfinished run is resumed.")],
    engine: Annotated[
        str, typer.Option(help="Engine: scripted (turn taking only), or one of covo chat's.")
    ] = SCRIPTED,
    recognizer: Annotated[
        RecognizerName, typer.Option(help="Recogniser of the scripted engine.")
    ] = RecognizerName.ORACLE,
    language: Annotated[
        str | None,
        typer.Option(help="Language to recognise, or auto to detect it; default: the set's."),
    ] = None,
    jobs: Annotated[
        int | None,
        typer.Option(help="Processes; default: one per core, or 1 if time counts.", min=1),
    ] = None,
    only: Annotated[
        list[Kind] | None, typer.Option(help="Run only this kind; may be repeated.")
    ] = None,
    fresh: Annotated[bool, typer.Option("--fresh", help="Delete an earlier run.")] = False,
    pictures: Pictures = True,
) -> None:
    """Run the conversations of a set and report."""
    from rich.progress import Progress

    from covo_cli.evaluation.running.run import (
        Task,
        default_jobs,
        discard_run,
        open_run,
        remaining,
        run_all,
    )
    from covo_cli.evaluation.scenarios.full_duplex_bench import read_scenarios
    from covo_cli.process.terminal import PlainConsole
    from covo_cli.settings.settings import load_settings

    _require_packages()
    console = PlainConsole()
    settings = load_settings(
        {
            "engine.name": None if engine == SCRIPTED else engine,
            "hearing.language": language or read_scenarios(scenarios).language,
        }
    )
    if fresh:
        discard_run(out)
    jobs = jobs or default_jobs(engine)
    threads = max(1, (os.cpu_count() or 1) // jobs)
    task = Task(scenarios, engine, recognizer, settings, threads, tuple(only or ()))
    run = open_run(task, out, jobs)
    if engine != SCRIPTED and run.load > BUSY:
        console.print(
            f"This machine is busy ({run.load:.1f} processes per core): replies will be late, and "
            "figures that depend on time unreliable.",
            style="yellow",
        )
    left = len(remaining(task, out))
    with Progress(console=console) as bar:
        work = bar.add_task("Conversations", total=run.scenarios, completed=run.scenarios - left)
        run_all(task, out, jobs, lambda name: bar.advance(work))
    _report(console, out, pictures=pictures)


@app.command()
def report(
    run: Annotated[Path, typer.Argument(help="Folder of a run.")],
    pictures: Pictures = True,
) -> None:
    """Report on a run again, without rerunning it."""
    from covo_cli.process.terminal import PlainConsole

    _require_packages()
    _report(PlainConsole(), run, pictures=pictures)


@app.command()
def compare(
    a: Annotated[Path, typer.Argument(help="Folder of a run.")],
    b: Annotated[Path, typer.Argument(help="Folder of another run.")],
) -> None:
    """Compare run B with run A."""
    from covo_cli.evaluation.reporting.compare import compare as compare_reports
    from covo_cli.evaluation.reporting.compare import difference_table, different_decisions
    from covo_cli.evaluation.reporting.report import read_report
    from covo_cli.process.terminal import PlainConsole

    _require_packages()
    console = PlainConsole()
    comparison = compare_reports(read_report(a), read_report(b))
    for key, (before, after) in comparison.differing.items():
        console.print(f"{key}: {before} → {after}")
    console.print(difference_table(comparison))
    for title, scenarios in (
        ("Failed in A but not in B", comparison.mended),
        ("Failed in B but not in A", comparison.broken),
        ("Different decisions", different_decisions(a, b)),
    ):
        console.print(f"{title}: {len(scenarios)}")
        for name, why in scenarios.items():
            console.print(f"  {name}: {why}")


def _require_packages() -> None:
    """Check that the packages for judging are installed. Raises: CliError."""
    from covo_cli.bench.words import WORD_PACKAGES
    from covo_cli.process.packages import require_packages

    require_packages("eval", "scipy", *WORD_PACKAGES)


def _report(console: PlainConsole, out: Path, *, pictures: bool) -> None:
    from covo_cli.evaluation.reporting.report import assess, draw_failures, report_table
    from covo_cli.evaluation.running.run import PICTURES, REPORT

    assessed = assess(out, _listener())
    console.print(report_table(assessed))
    console.print(f"Full report: {out / REPORT}")
    if not pictures or not assessed.failed():
        return
    try:
        draw_failures(out, assessed)
    except ImportError:
        from voices.installation import add_extra

        console.print(f"No pictures: they need matplotlib ({add_extra('eval')}).")
    else:
        console.print(f"Pictures of failed conversations: {out / PICTURES}")


def _listener() -> Callable[[Audio], str]:
    """Return a transcriber for the assistant's speech, loaded on first use."""
    from model.lite.recognizer import WhisperRecognizer

    recognizer = WhisperRecognizer(weight_store().whole("whisper-base"))
    return lambda audio: recognizer.transcribe(audio).text
