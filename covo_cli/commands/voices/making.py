"""``covo voices blend``, ``tune``, ``crop``, ``add`` ...: the user's own voices."""

from __future__ import annotations

import shlex
from collections.abc import Mapping
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from covo_cli.commands.common import YesFlag, require_yes, voice_store, warn, weight_store
from covo_cli.commands.voices.names import CHOSEN_BY, TUNING, VoiceName, complete_voice
from covo_cli.settings.flags import with_flags

if TYPE_CHECKING:
    from collections.abc import Callable

    from voices.pack import VoicePack
    from voices.store import VoiceStore


def blend(
    parts: Annotated[
        list[str],
        typer.Argument(
            metavar="NAME:WEIGHT...",
            help="Voices and their weights, such as heart:0.7 george:0.3.",
            autocompletion=complete_voice,
        ),
    ],
    name: Annotated[str, typer.Option(help="Name of the new voice.")],
    language: Annotated[
        str, typer.Option(help="Its accent, such as en-GB; default: that of the heaviest voice.")
    ] = "",
    prompt_of: Annotated[
        str,
        typer.Option(
            help="Of Covo's voices: whose prompt it continues; default: the heaviest.",
            autocompletion=complete_voice,
        ),
    ] = "",
    yes: YesFlag = False,
) -> None:
    """Make a voice by mixing others."""
    from voices.blending import Blend, VoiceShare, parse_share

    store = voice_store()
    weights = map(parse_share, parts)
    blended = Blend(
        tuple(VoiceShare(store.get(voice), weight) for voice, weight in weights),
        _accent(store, language) if language else "",
        store.get(prompt_of) if prompt_of else None,
    )
    _save(store, name, partial(blended.write, name), yes=yes)
    for reason in blended.left_out:
        warn(reason)


@with_flags(TUNING)
def tune(
    flags: Mapping[str, object],
    name: VoiceName,
    new: Annotated[str, typer.Option("--as", help="Name of the tuned voice.")],
    yes: YesFlag = False,
) -> None:
    """Make a copy of a voice with a speed, pitch or loudness of its own."""
    from voices.errors import VoiceError

    store = voice_store()
    pack = store.get(name)
    if pack.lite is None:
        raise VoiceError(
            f"{name} cannot be tuned: Covo-Audio's speech has a fixed rate, and no pitch to set; "
            "how loud it is, covo chat --loudness sets"
        )
    given: dict[str, Any] = {
        key.partition(".")[2]: value for key, value in flags.items() if value is not None
    }
    try:
        tuning = replace(pack.lite.tuning, **given)
    except ValueError as error:
        raise VoiceError(f"{name} cannot be tuned: {error}") from error
    tuned = replace(
        pack,
        name=new,
        figures=None,
        source=f"{name} with {tuning or 'nothing changed'}: {pack.source}",
        lite=replace(pack.lite, tuning=tuning),
    )
    _save(store, new, lambda _: tuned, yes=yes)


def crop(
    name: VoiceName,
    seconds: Annotated[
        float, typer.Option(help="Seconds to keep, the last of the prompt; fewer is faster.")
    ],
    new: Annotated[str, typer.Option("--as", help="Name of the new voice.")],
    yes: YesFlag = False,
) -> None:
    """Shorten the prompt of a voice for Covo-Audio."""
    from voices.errors import VoiceError
    from voices.pack import CovoVoice

    store = voice_store()
    pack = store.get(name)
    if pack.covo is None:
        raise VoiceError(f"{name} cannot be cropped: only voices for Covo-Audio have a prompt")
    prompt, speaker = pack.covo.prompt().crop(seconds), pack.covo.speaker

    def cropped(folder: Path) -> VoicePack:
        prompt.save(folder)
        source = f"last {seconds:g} s of {name}: {pack.source}"
        return replace(pack, name=new, source=source, covo=CovoVoice(speaker, folder))

    _save(store, new, cropped, yes=yes)


def add(
    folder: Annotated[Path, typer.Argument(help="Voice pack: a folder with voice.toml.")],
    name: Annotated[str, typer.Option(help="Name to add it under; default: its own.")] = "",
    yes: YesFlag = False,
) -> None:
    """Check a voice pack and copy it to your voices."""
    from voices.errors import VoiceError
    from voices.pack import read_pack

    store = voice_store()
    name = name or read_pack(folder).name
    if store.has_builtin(name):
        raise VoiceError(
            f"{name} is a built-in voice: add this one under another name with `covo voices add "
            f"{shlex.quote(str(folder))} --name NAME`"
        )
    pack = store.add(folder, name, replace=_may_replace(store, name, yes=yes))
    _tell(f"Added {pack.name} (for {', '.join(pack.engines)}; licence: {pack.licence})")


def export(
    name: VoiceName,
    folder: Annotated[
        Path, typer.Argument(help="Where to put the pack; default: the current folder.")
    ] = Path(),
) -> None:
    """Write a voice as a pack, for `covo voices add`."""
    from covo_cli.process.text import clean
    from voices.writing import export_pack

    store = voice_store()
    pack = store.get(name)
    written = export_pack(pack, store.voiceprint(pack), folder)
    typer.echo(f"{written} (licence: {clean(pack.licence)})")


def remove(
    name: VoiceName,
    yes: YesFlag = False,
) -> None:
    """Delete a voice that you added."""
    from covo_cli.errors import SettingsError
    from covo_cli.settings.settings import load_settings

    store = voice_store()
    store.folder_of_own(name)  # before anything is asked
    require_yes(f"Delete the voice {name}?", yes=yes)
    store.remove(name)
    typer.echo(f"Removed {name}")
    try:
        settings = load_settings()
    except SettingsError:
        return  # reported when a conversation starts
    if name in map(settings.value, CHOSEN_BY.values()):
        warn("it was in use; choose another with `covo voices use NAME`")


def measure(
    package: Annotated[Path, typer.Argument(help="The archive of kokoro-js (npm pack).")],
    folder: Annotated[Path | None, typer.Option(help="Folder of the library.")] = None,
) -> None:
    """Measure the voices of Kokoro's package and write the library of built-in voices."""
    from covo_cli.voices.making import make_library
    from covo_cli.voices.measuring import Measured
    from covo_cli.voices.new_voices import measurer
    from voices.pack import LiteVoice
    from voices.store import BUILTIN

    measure_voice = measurer(weight_store(), voice_store())

    def one(synthesizer: str, style: Path, language: str) -> Measured:
        return measure_voice(style.stem, LiteVoice(synthesizer, style), language)

    make_library(package, folder or BUILTIN, one, typer.echo)


def _save(store: VoiceStore, name: str, build: Callable[[Path], VoicePack], *, yes: bool) -> None:
    """Save what ``build`` makes as the voice ``name``; ask before one is replaced."""
    from covo_cli.process.terminal import PlainConsole
    from covo_cli.voices.new_voices import measurer, save_voice

    replacing = _may_replace(store, name, yes=yes)
    with PlainConsole(stderr=True).status(f"Measuring {name} ..."):
        pack = save_voice(
            store, name, build, lambda: measurer(weight_store(), store), replace=replacing
        )
    engines = ", ".join(pack.engines)
    _tell(f"Saved {name}: {pack.description} (for {engines}; licence: {pack.licence})")


def _tell(line: str) -> None:
    """Print ``line``, in which a pack may have commands for the terminal."""
    from covo_cli.process.text import clean

    typer.echo(clean(line))


def _may_replace(store: VoiceStore, name: str, *, yes: bool) -> bool:
    """Return whether ``name`` is a voice to be replaced, asking unless ``yes``.

    Raises: VoiceError if no voice can have the name.
    """
    replacing = store.owns(name)
    store.check_new(name, replace=replacing)
    if replacing:
        require_yes(f"Replace the voice {name}?", yes=yes)
    return replacing


def _accent(store: VoiceStore, language: str) -> str:
    """Return ``language`` as a voice that is here writes it. Raises: VoiceError."""
    from voices.errors import VoiceError

    known = {pack.language.lower(): pack.language for pack in store.list() if pack.lite}
    if language.lower() not in known:
        there = ", ".join(sorted(known.values()))
        raise VoiceError(f"no voice speaks {language}; there are {there}")
    return known[language.lower()]
