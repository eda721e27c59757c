"""``covo voices``: list, hear, choose and add voices."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from covo_cli.commands.common import (
    JsonFlag,
    YesFlag,
    chosen_speaker,
    print_json,
    voice_store,
    warn,
    warn_if_overridden,
    weight_store,
)
from covo_cli.errors import CliError

if TYPE_CHECKING:
    from audio_io.signal import Audio
    from voices.pack import VoicePack

CHOSEN_BY = {"lite": "voice.name", "covo": "covo.voice"}
"""The voice setting of each engine."""

SENTENCE = "Hello, I am {name}. This is what I sound like when we talk to each other."
SENTENCE_ZH = "你好，很高兴认识你。我们聊天的时候，我的声音就是这样的。"

app = typer.Typer(no_args_is_help=True, help="List, hear, choose and add voices.")


def complete_voice(incomplete: str) -> list[str]:
    """Return the names that begin with ``incomplete``."""
    from voices.errors import VoiceError

    try:
        return [name for name in voice_store().names() if name.startswith(incomplete)]
    except VoiceError:
        return []


_Name = Annotated[
    str, typer.Argument(help="A voice (covo voices list).", autocompletion=complete_voice)
]


@app.command("list")
def list_voices(
    language: Annotated[
        str, typer.Option(help="Only voices of this language: en, en-GB, zh ...")
    ] = "",
    like: Annotated[
        str,
        typer.Option(
            help="Built-in voices, the most like this one first.", autocompletion=complete_voice
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


@app.command()
def show(name: _Name, as_json: JsonFlag = False) -> None:
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


@app.command()
def preview(
    name: _Name,
    text: Annotated[str, typer.Option(help="Text to speak.")] = "",
    output: Annotated[
        Path | None, typer.Option(help="Sound file to write instead of playing.")
    ] = None,
) -> None:
    """Hear a voice."""
    chinese = voice_store().get(name).language.startswith("zh")
    sentence = text or (SENTENCE_ZH if chinese else SENTENCE.format(name=name))
    sound = _speak(name, sentence)
    if not sound.size:
        raise CliError(f"nothing to pronounce in {sentence!r}; give --text some words")
    if output is None:
        _play(sound)
        return
    from audio_io.clock import ASSISTANT_RATE
    from audio_io.files import write_audio

    write_audio(output, sound, ASSISTANT_RATE)
    typer.echo(f"{output}: {sound.size / ASSISTANT_RATE:.1f} s of {name}")


@app.command()
def use(name: _Name) -> None:
    """Use a voice in conversations, for each engine that it serves."""
    from covo_cli.settings.settings import save_setting

    pack = voice_store().get(name)
    for engine in pack.engines:
        key = CHOSEN_BY[engine]
        file = save_setting(key, pack.name)
        typer.echo(f"{engine}: {pack.name} ({key} in {file})")
        warn_if_overridden(key)


@app.command()
def add(
    folder: Annotated[Path, typer.Argument(help="Voice pack: a folder with voice.toml.")],
) -> None:
    """Check a voice pack and copy it to your voices."""
    pack = voice_store().add(folder)
    typer.echo(f"Added {pack.name} (for {', '.join(pack.engines)}; licence: {pack.licence})")


@app.command()
def remove(
    name: _Name,
    yes: YesFlag = False,
) -> None:
    """Delete a voice that you added."""
    from covo_cli.errors import SettingsError
    from covo_cli.settings.settings import load_settings

    store = voice_store()
    if not yes and name in store.names():
        typer.confirm(f"Delete the voice {name}?", abort=True)
    store.remove(name)
    typer.echo(f"Removed {name}")
    try:
        settings = load_settings()
    except SettingsError:
        return  # reported when a conversation starts
    if name in map(settings.value, CHOSEN_BY.values()):
        warn("it was in use; choose another with `covo voices use NAME`")


@app.command(hidden=True)
def measure(
    package: Annotated[Path, typer.Argument(help="The archive of kokoro-js (npm pack).")],
    folder: Annotated[Path | None, typer.Option(help="Folder of the library.")] = None,
) -> None:
    """Measure the voices of Kokoro's package and write the library of built-in voices."""
    from covo_cli.voices.making import make_library
    from covo_cli.voices.measuring import HEADROOM_DB, Measured, measure_voice
    from model.hearing.identity.profile import CamPlusPlusEmbedder
    from model.lite import SynthesizerMaker
    from model.lite.synthesizer import LEVEL_DB
    from voices.pack import LiteVoice
    from voices.store import BUILTIN

    weights = weight_store()
    embedder = CamPlusPlusEmbedder(weights.path("campplus", "campplus_cn_en_common.pt"))
    make = SynthesizerMaker(weights, voice_store().get, threads=1)

    def one(synthesizer: str, style: Path, language: str) -> Measured:
        part = LiteVoice(synthesizer, style, level=LEVEL_DB + HEADROOM_DB)
        return measure_voice(make.of(style.stem, part, language), embedder)

    make_library(package, folder or BUILTIN, one, typer.echo)


def _speaks(pack: VoicePack, language: str) -> bool:
    """Return whether the pack's language is ``language``, in lower case, or a region's of it."""
    spoken = pack.language.lower()
    return language in (spoken, spoken.partition("-")[0])


def _facts(pack: VoicePack) -> dict[str, str | float | bool | list[str] | None]:
    lite, covo = pack.lite, pack.covo
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
        "builtin": pack.builtin,
        "folder": str(pack.folder),
    }


def _speak(name: str, text: str) -> Audio:
    import numpy as np

    from covo_cli.process.terminal import PlainConsole
    from model.lite import SynthesizerMaker

    with PlainConsole(stderr=True).status(f"Loading {name} ..."):
        synthesizer = SynthesizerMaker(weight_store(), voice_store().get)(name)
        try:
            clauses = list(synthesizer.stream(text))
        finally:
            synthesizer.close()
    return np.concatenate(clauses) if clauses else np.zeros(0, np.float32)


def _play(sound: Audio) -> None:
    from covo_cli.sessions.audio import to_pcm16
    from covo_cli.sessions.replay import play_in_time

    speaker = chosen_speaker()
    try:
        speaker.start()
        play_in_time([], lambda _: None, iter([to_pcm16(sound)]), speaker, warn=warn)
    finally:
        speaker.close()
