"""Names of voices on the command line, and the settings that hold them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from covo_cli.commands.common import voice_store
from covo_cli.errors import CliError

if TYPE_CHECKING:
    from voices.pack import VoicePack
    from voices.store import VoiceStore

CHOSEN_BY = {"lite": "voice.name", "covo": "covo.voice"}
"""The voice setting of each engine."""

TUNING = ("voice.speed", "voice.pitch", "voice.loudness")
"""The settings that change a voice."""


def complete_voice(incomplete: str) -> list[str]:
    """Return the names that begin with ``incomplete``."""
    from voices.errors import VoiceError

    try:
        return [name for name in voice_store().names() if name.startswith(incomplete)]
    except VoiceError:
        return []


def voices_of(store: VoiceStore, language: str) -> tuple[VoicePack, ...]:
    """Return the voices that speak ``language``, a code or a general one; "": all of them.

    Raises: CliError if there are none.
    """
    packs, wanted = store.list(), language.lower()
    if not wanted:
        return packs
    speaking = [
        pack
        for pack in packs
        if wanted in (spoken := pack.language.lower(), spoken.partition("-")[0])
    ]
    if not speaking:
        known = ", ".join(sorted({pack.language for pack in packs}))
        raise CliError(f"no voice speaks {language}; there are {known}")
    return tuple(speaking)


VoiceName = Annotated[
    str, typer.Argument(help="A voice (covo voices list).", autocompletion=complete_voice)
]
