"""``covo chat``: hold a spoken conversation."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from covo_cli.commands.voices import complete_voice
from covo_cli.errors import CliError

AUDIO = "Audio"
ENGINE = "Engine"
FILES = "Files instead of a sound card"
SESSION = "Session"


class Pace(StrEnum):
    """How fast an input file is spoken."""

    REAL = "real"
    FAST = "fast"


def chat(
    engine: Annotated[
        str | None,
        typer.Option(help="Who answers: auto, covo, covo-fd or lite.", rich_help_panel=ENGINE),
    ] = None,
    model: Annotated[
        str | None,
        typer.Option(
            help="For covo: a model of `covo models list`, or a model's folder.",
            rich_help_panel=ENGINE,
        ),
    ] = None,
    precision: Annotated[
        str | None,
        typer.Option(
            help="For covo: auto, bf16, fp16, fp32, int8 or int4.", rich_help_panel=ENGINE
        ),
    ] = None,
    device: Annotated[
        str | None,
        typer.Option(help="For covo: auto, cuda, cuda:1, mps or cpu.", rich_help_panel=ENGINE),
    ] = None,
    voice_prompt_seconds: Annotated[
        float | None,
        typer.Option(
            help="For covo: how much of the voice's prompt is used; less is faster; 0: all.",
            rich_help_panel=ENGINE,
        ),
    ] = None,
    text_only: Annotated[
        bool | None,
        typer.Option("--text-only", help="For covo: it only writes.", rich_help_panel=ENGINE),
    ] = None,
    voice: Annotated[
        str | None,
        typer.Option(
            help="The assistant's voice (covo voices list).",
            autocompletion=complete_voice,
            rich_help_panel=ENGINE,
        ),
    ] = None,
    chat_model: Annotated[
        str | None,
        typer.Option(
            help="A GGUF file to chat with; with --chat-url, the name of the model there.",
            rich_help_panel=ENGINE,
        ),
    ] = None,
    chat_url: Annotated[
        str | None,
        typer.Option(
            help="An OpenAI-compatible endpoint on your machine, such as Ollama's "
            "http://localhost:11434/v1.",
            rich_help_panel=ENGINE,
        ),
    ] = None,
    persona: Annotated[
        Path | None,
        typer.Option(help="A text file that says who the assistant is.", rich_help_panel=ENGINE),
    ] = None,
    input_device: Annotated[
        str | None,
        typer.Option(
            help="Microphone: its number or part of its name (covo devices).",
            rich_help_panel=AUDIO,
        ),
    ] = None,
    output_device: Annotated[
        str | None,
        typer.Option(help="Speaker: its number or part of its name.", rich_help_panel=AUDIO),
    ] = None,
    echo_cancellation: Annotated[
        bool | None,
        typer.Option(
            help="Take the assistant's voice out of the microphone (live: on by default).",
            rich_help_panel=AUDIO,
        ),
    ] = None,
    barge_in: Annotated[
        bool | None,
        typer.Option(
            help="Whether speaking interrupts the assistant. --no-barge-in is the honest way to "
            "use loudspeakers without echo cancellation.",
            rich_help_panel=AUDIO,
        ),
    ] = None,
    patience: Annotated[
        str | None,
        typer.Option(
            help="How long your pauses are waited for: eager, normal or patient.",
            rich_help_panel=AUDIO,
        ),
    ] = None,
    silence: Annotated[
        float | None,
        typer.Option(
            help="Seconds of silence that end your turn, unless it breaks off in mid-phrase.",
            rich_help_panel=AUDIO,
        ),
    ] = None,
    input_file: Annotated[
        Path | None,
        typer.Option(
            "--input", "-i", help="A sound file to be the person speaking.", rich_help_panel=FILES
        ),
    ] = None,
    output_file: Annotated[
        Path | None,
        typer.Option(
            "--output",
            "-o",
            help="Where the answers go: a sound file on the input's clock, sample by sample.",
            rich_help_panel=FILES,
        ),
    ] = None,
    output_rate: Annotated[
        int,
        typer.Option(help="Sample rate of --output: 24000, or 16000.", rich_help_panel=FILES),
    ] = 24_000,
    pace: Annotated[
        Pace,
        typer.Option(
            help="real: as if spoken now. fast: as fast as it goes; the time that the work takes "
            "still counts, so latencies stay true.",
            rich_help_panel=FILES,
        ),
    ] = Pace.REAL,
    record: Annotated[
        bool | None,
        typer.Option(help="Keep the conversation on disk.", rich_help_panel=SESSION),
    ] = None,
    as_json: Annotated[
        bool, typer.Option("--json", help="One event a line.", rich_help_panel=SESSION)
    ] = False,
) -> None:
    """Talk with the assistant, or let a sound file talk with it.

    Speak, and it answers aloud; speak over it to interrupt. Keys: [bold]m[/] mute, [bold]space[/]
    push-to-talk, [bold]i[/] interrupt, [bold]v[/] next voice, [bold]t[/] type, [bold]?[/] help,
    [bold]q[/] quit.
    """
    if output_file is not None and input_file is None:
        raise CliError("--output goes with --input; live conversations are recorded by themselves")
    if output_rate not in (16_000, 24_000):
        raise CliError(f"--output-rate is {output_rate}: it must be 16000 or 24000")
    if _same(input_file, output_file):
        raise CliError(f"{output_file} is the --input: name another file for the answers")

    from covo_cli.conversation.ends import FilePair
    from covo_cli.conversation.run_chat import run_chat
    from covo_cli.settings.settings import load_settings

    settings = load_settings(
        {
            "engine.name": engine,
            "covo.model": model,
            "covo.precision": precision,
            "covo.device": device,
            "covo.voice_prompt_seconds": voice_prompt_seconds,
            "covo.text_only": text_only,
            "covo.voice": voice,
            "voice.name": voice,
            "chat.model": chat_model,
            "chat.url": chat_url,
            "chat.persona": str(persona) if persona else None,
            "audio.input": input_device,
            "audio.output": output_device,
            "audio.echo_cancellation": echo_cancellation,
            "turns.barge_in": barge_in,
            "turns.patience": patience,
            "turns.silence": silence,
            "session.record": record,
        }
    )
    files = None
    if input_file is not None:
        files = FilePair(input_file, output_file, output_rate, paced=pace is Pace.REAL)
    raise typer.Exit(run_chat(settings, files, as_json=as_json))


def _same(one: Path | None, other: Path | None) -> bool:
    """Whether both are there and one file, whatever they are called."""
    return bool(one and other and one.exists() and other.exists() and one.samefile(other))
