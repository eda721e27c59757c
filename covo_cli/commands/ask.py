"""``covo ask``: one question about a recording, answered in writing."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer


def ask(
    audio: Annotated[Path, typer.Argument(help="A sound file.")],
    question: Annotated[
        str,
        typer.Argument(help="What to do with it. Without one, the recording itself is answered."),
    ] = "",
    model: Annotated[
        str | None,
        typer.Option(help="A model of `covo models list`, or a model's folder."),
    ] = None,
    precision: Annotated[
        str | None, typer.Option(help="auto, bf16, fp16, fp32, int8 or int4.")
    ] = None,
    device: Annotated[str | None, typer.Option(help="auto, cuda, cuda:1, mps or cpu.")] = None,
    persona: Annotated[
        Path | None, typer.Option(help="A text file that says who the assistant is.")
    ] = None,
    as_json: Annotated[
        bool, typer.Option("--json", help="One JSON object a line: the text as it comes, the end.")
    ] = False,
) -> None:
    """Ask Covo-Audio about a recording: to transcribe, translate or explain it.

    covo ask interview.wav "What does she say about the weather?"
    """
    from covo_cli.engines.covo_engine import check_packages
    from covo_cli.settings.settings import load_settings

    check_packages()
    from covo_cli.engines.run_ask import run_ask

    settings = load_settings(
        {
            "covo.model": model,
            "covo.precision": precision,
            "covo.device": device,
            "chat.persona": str(persona) if persona else None,
        }
    )
    raise typer.Exit(run_ask(settings, audio, question, as_json=as_json))
