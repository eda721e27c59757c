"""``covo voices list`` and ``show``: what is known of the voices."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from covo_cli.commands.common import JsonFlag, print_json, voice_store
from covo_cli.commands.voices.names import CHOSEN_BY, VoiceName, complete_voice
from covo_cli.errors import CliError

if TYPE_CHECKING:
    from voices.pack import VoicePack


def list_voices(
    language: Annotated[
        str, typer.Option(help="Only voices of this language: en, en-GB, zh ...")
    ] = "",
    like: Annotated[
        str,
        typer.Option(
            help="Measured voices, the most like this one first.", autocompletion=complete_voice
        ),
    ] = "",
    as_json: JsonFlag = False,
) -> None:
    """List the voices."""
    from covo_cli.settings.settings import load_settings

    store, settings = voice_store(), load_settings()
    packs, broken = store.list(), store.broken()
    if language:
        known = ", ".join(sorted({pack.language for pack in packs}))
        packs = tuple(pack for pack in packs if _speaks(pack, language.lower()))
        if not packs:
            raise CliError(f"no voice speaks {language}; there are {known}")
    likeness = store.likeness(like) if like else {}
    if like:
        near = (pack for pack in packs if pack.name in likeness)
        packs = tuple(sorted(near, key=lambda pack: -likeness[pack.name]))
    chosen = {
        pack.name
        for pack in packs
        if any(settings.value(CHOSEN_BY[engine]) == pack.name for engine in pack.engines)
    }
    if as_json:
        records = [
            {**_facts(pack), "chosen": pack.name in chosen, "likeness": likeness.get(pack.name)}
            for pack in packs
        ]
        problems = [{"name": p.name, "folder": str(p.folder), "problem": p.problem} for p in broken]
        print_json({"voices": records, "broken": problems})
        return

    from rich.table import Table
    from rich.text import Text

    from covo_cli.process.terminal import PlainConsole

    # All that are compared are for lite.
    table = Table("", "voice", "sounds like", "language", "alike" if like else "engines", box=None)
    table.add_column("cost", no_wrap=True)
    for pack in packs:
        table.add_row(
            "→" if pack.name in chosen else "",
            pack.name,
            pack.description,
            pack.language,
            f"{likeness[pack.name]:.2f}" if like else ", ".join(pack.engines),
            pack.lite.cost.removesuffix(" real time") if pack.lite else "",
            style="bold" if pack.name in chosen else "none",
        )
    console = PlainConsole()
    console.print(table)
    for problem in broken:
        console.print(Text.assemble(("broken:", "red"), f" {problem.problem}"), soft_wrap=True)
    console.print(
        "→ is in use. Hz: pitch; kHz: brightness; /s: phonemes per second.\n"
        "Cost: synthesis time / speech time, on two cores.",
        style="dim",
        soft_wrap=True,
    )


def show(name: VoiceName, as_json: JsonFlag = False) -> None:
    """Show a voice's source, licence and files."""
    from covo_cli.process.text import clean

    facts = _facts(voice_store().get(name))
    if as_json:
        print_json(facts)
        return
    for key, value in facts.items():
        shown = ", ".join(value) if isinstance(value, list) else value
        if shown not in (None, ""):
            typer.echo(f"{key:<12} {clean(str(shown))}")


def _speaks(pack: VoicePack, language: str) -> bool:
    """Return whether the pack's language is ``language``, in lower case, or a region's of it."""
    spoken = pack.language.lower()
    return language in (spoken, spoken.partition("-")[0])


def _facts(pack: VoicePack) -> dict[str, str | float | bool | list[str] | None]:
    lite, covo, figures = pack.lite, pack.covo, pack.figures
    return {
        "name": pack.name,
        "description": pack.description,
        "language": pack.language,
        "gender": pack.gender,
        "age": pack.age,
        "licence": pack.licence,
        "source": pack.source,
        "engines": list(pack.engines),
        "synthesizer": lite.synthesizer if lite else None,
        "cost": lite.cost if lite else None,
        "speaker": covo.speaker if covo else None,
        "pitch": figures.pitch if figures else None,
        "brightness": figures.brightness if figures else None,
        "pace": figures.pace if figures else None,
        "builtin": pack.builtin,
        "folder": str(pack.folder),
    }
