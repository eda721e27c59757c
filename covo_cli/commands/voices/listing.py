"""``covo voices list``, ``show`` and ``compare``: what is known of the voices."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from covo_cli.commands.common import JsonFlag, print_json, voice_store, weight_store
from covo_cli.commands.voices.names import CHOSEN_BY, VoiceName, complete_voice, voices_of

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
    packs, broken = voices_of(store, language), store.broken()
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


def compare(
    one: VoiceName,
    other: VoiceName,
    as_json: JsonFlag = False,
) -> None:
    """Compare two voices by what was measured of them."""
    from functools import cache

    from covo_cli.voices.comparing import compare_voices
    from covo_cli.voices.new_voices import measurer

    store = voice_store()
    found = compare_voices(store, (one, other), cache(lambda: measurer(weight_store(), store)))
    ratios = {name: found.ratio(name) for name in ("brightness", "pace")}
    if as_json:
        print_json(
            {
                "voices": [_facts(pack) for pack in found.voices],
                "likeness": found.likeness,
                "covo_likeness": found.covo_likeness,
                "semitones": found.semitones,
                **{f"{name}_ratio": ratio for name, ratio in ratios.items()},
            }
        )
        return

    from rich.table import Table

    from covo_cli.process.terminal import PlainConsole

    table = Table("", one, other, "", box=None)
    differences = {
        "pitch": None if found.semitones is None else f"{found.semitones:+.1f} semitones",
        **{name: None if ratio is None else f"{ratio - 1:+.0%}" for name, ratio in ratios.items()},
    }
    units = {"pitch": "Hz", "brightness": "Hz", "pace": "/s", "level": "dBFS"}
    first, second = (_facts(pack) for pack in found.voices)
    for key in _COMPARED:
        values = [facts[key] for facts in (first, second)]
        if any(values):
            numbers = [f"{value:g}" if isinstance(value, float) else value for value in values]
            shown = [f"{value} {units.get(key, '')}" if value else "-" for value in numbers]
            table.add_row(key, *shown, differences.get(key))
    console = PlainConsole()
    console.print(table)
    if found.likeness is not None:
        console.print(f"Alike: {found.likeness:.2f} (1: the same voice; CAM++)", soft_wrap=True)
    if found.covo_likeness is not None:
        console.print(
            f"Alike for Covo-Audio: {found.covo_likeness:.2f} (its own embeddings)", soft_wrap=True
        )


_COMPARED = (
    *("language", "gender", "synthesizer", "tuning"),
    *("pitch", "brightness", "pace", "level"),
    "prompt",
)
"""Rows of the table."""


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
        "tuning": str(lite.tuning) if lite else None,
        "cost": lite.cost if lite else None,
        "speaker": covo.speaker if covo else None,
        "prompt": f"{covo.prompt().seconds:g} s" if covo else None,
        "pitch": figures.pitch if figures else None,
        "brightness": figures.brightness if figures else None,
        "pace": figures.pace if figures else None,
        "level": lite.level if lite else None,
        "builtin": pack.builtin,
        "folder": str(pack.folder),
    }
