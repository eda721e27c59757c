"""Names of voices on the command line, and the settings that hold them."""

from __future__ import annotations

from typing import Annotated

import typer

from covo_cli.commands.common import voice_store

CHOSEN_BY = {"lite": "voice.name", "covo": "covo.voice"}
"""The voice setting of each engine."""


def complete_voice(incomplete: str) -> list[str]:
    """Return the names that begin with ``incomplete``."""
    from voices.errors import VoiceError

    try:
        return [name for name in voice_store().names() if name.startswith(incomplete)]
    except VoiceError:
        return []


VoiceName = Annotated[
    str, typer.Argument(help="A voice (covo voices list).", autocompletion=complete_voice)
]
