"""``covo ask``: one question about a recording, answered in writing."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated

import typer

from covo_cli.commands.common import EventsFlag
from covo_cli.settings.flags import with_flags


@with_flags(["covo.model", "covo.precision", "covo.device", "chat.persona"])
def ask(
    flags: Mapping[str, object],
    audio: Annotated[Path, typer.Argument(help="Sound file.")],
    question: Annotated[
        str, typer.Argument(help="What to do with it; without one, reply to the recording itself.")
    ] = "",
    as_json: EventsFlag = False,
) -> None:
    """Ask Covo-Audio about a recording.

    It can transcribe, translate or explain it:

    covo ask interview.wav "What does she say about the weather?"
    """
    from covo_cli.engines.covo_engine import check_packages
    from covo_cli.settings.settings import load_settings

    check_packages()
    from covo_cli.engines.run_ask import run_ask

    raise typer.Exit(run_ask(load_settings(flags), audio, question, as_json=as_json))
