"""``covo voices``: who the assistant can sound like."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from covo_cli.errors import CliError

if TYPE_CHECKING:
    from audio_io.signal import Audio
    from voices.pack import VoicePack
    from voices.store import VoiceStore

CHOSEN_BY = {"lite": "voice.name", "covo": "covo.voice"}
"""The setting that names each engine's voice."""

SENTENCE = "Hello, I am {name}. This is what I sound like when we talk to each other."

app = typer.Typer(no_args_is_help=True, help="The assistant's voices: hear, choose and add them.")


def complete_voice(incomplete: str) -> list[str]:
    """The voices whose name begins so, for the shell."""
    from voices.errors import VoiceError

    try:
        return [name for name in _store().names() if name.startswith(incomplete)]
    except VoiceError:  # the shell's prompt is no place to say it
        return []


_Name = Annotated[
    str, typer.Argument(help="A voice (covo voices list).", autocompletion=complete_voice)
]
_Json = Annotated[bool, typer.Option("--json", help="Print JSON.")]


@app.command("list")
def list_voices(as_json: _Json = False) -> None:
    """List the voices: what they sound like, what they cost, which engines they serve."""
    from covo_cli.settings.settings import load_settings

    store, settings = _store(), load_settings()
    packs, broken = store.list(), store.broken()
    chosen = {
        pack.name
        for pack in packs
        if any(settings.value(CHOSEN_BY[engine]) == pack.name for engine in pack.engines)
    }
    if as_json:
        records = [{**_facts(pack), "chosen": pack.name in chosen} for pack in packs]
        problems = [{"name": p.name, "folder": str(p.folder), "problem": p.problem} for p in broken]
        typer.echo(json.dumps({"voices": records, "broken": problems}, indent=2))
        return

    from rich.console import Console
    from rich.markup import escape
    from rich.table import Table

    table = Table("", "voice", "sounds like", "language", "engines", box=None)
    table.add_column("cost", no_wrap=True)
    for pack in packs:
        table.add_row(
            "→" if pack.name in chosen else "",
            pack.name,
            escape(pack.description),
            escape(pack.language),
            ", ".join(pack.engines),
            pack.lite.cost if pack.lite else "",
            style="bold" if pack.name in chosen else "none",
        )
    console = Console()
    console.print(table)
    for problem in broken:
        console.print(f"[red]broken:[/] {escape(problem.problem)}", soft_wrap=True)
    console.print(
        "→ is in use. Cost: seconds of work for a second of speech, on two cores.",
        style="dim",
        soft_wrap=True,
    )


@app.command()
def show(name: _Name, as_json: _Json = False) -> None:
    """Show everything about a voice: source, licence, what it is made of."""
    facts = _facts(_store().get(name))
    if as_json:
        typer.echo(json.dumps(facts, indent=2))
        return
    for key, value in facts.items():
        shown = ", ".join(value) if isinstance(value, list) else value
        if shown not in (None, ""):
            typer.echo(f"{key:<12} {shown}")


@app.command()
def preview(
    name: _Name,
    text: Annotated[str, typer.Option(help="What it is to say.")] = "",
    output: Annotated[
        Path | None, typer.Option(help="A sound file to write, instead of playing it.")
    ] = None,
) -> None:
    """Let a voice speak a sentence."""
    sentence = text or SENTENCE.format(name=name)
    sound = _speak(name, sentence)
    if not sound.size:
        raise CliError(f"there is nothing to pronounce in {sentence!r}: give --text some words")
    if output is None:
        _play(sound)
        return
    from audio_io.clock import ASSISTANT_RATE
    from audio_io.files import write_audio

    write_audio(output, sound, ASSISTANT_RATE)
    typer.echo(f"{output}: {sound.size / ASSISTANT_RATE:.1f} s of {name}")


@app.command()
def use(name: _Name) -> None:
    """Make a voice the one that conversations begin with, with the engines that it serves."""
    import os

    from covo_cli.settings.settings import find_option, save_setting

    pack = _store().get(name)
    for engine in pack.engines:
        key = CHOSEN_BY[engine]
        file = save_setting(key, pack.name)
        typer.echo(f"{pack.name} it is for {engine} ({key} in {file})")
        variable = find_option(key).variable
        if os.environ.get(variable):
            typer.echo(f"note: {variable} is set and overrides it", err=True)


@app.command()
def add(
    folder: Annotated[Path, typer.Argument(help="A voice pack: a folder with voice.toml.")],
) -> None:
    """Copy a voice pack into your voices, after checking all of it."""
    pack = _store().add(folder)
    typer.echo(f"added {pack.name} (for {', '.join(pack.engines)}; licence: {pack.licence})")


@app.command()
def remove(
    name: _Name,
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Do not ask.")] = False,
) -> None:
    """Delete a voice that you added."""
    from covo_cli.errors import SettingsError
    from covo_cli.settings.settings import load_settings

    store = _store()
    if not yes and name in store.names():
        typer.confirm(f"Delete the voice {name}?", abort=True)
    store.remove(name)
    typer.echo(f"removed {name}")
    try:
        settings = load_settings()
    except SettingsError:
        return  # nothing to warn of: it is whoever starts a conversation who is told
    if name in map(settings.value, CHOSEN_BY.values()):
        typer.echo("it was the one in use: choose another with covo voices use NAME", err=True)


def _store() -> VoiceStore:
    from covo_cli.settings.settings import voices_dir
    from voices.store import VoiceStore

    return VoiceStore(voices_dir())


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
    from rich.console import Console

    from covo_cli.settings.settings import load_settings, models_dir
    from model.lite import SynthesizerMaker
    from model.weights.packages import WeightStore

    weights = WeightStore(models_dir(load_settings()))
    with Console(stderr=True).status(f"{name} is getting ready ..."):
        synthesizer = SynthesizerMaker(weights, _store().get)(name)
        try:
            clauses = list(synthesizer.stream(text))
        finally:
            synthesizer.close()
    return np.concatenate(clauses) if clauses else np.zeros(0, np.float32)


def _play(sound: Audio) -> None:
    from audio_io.live.speaker import LiveSpeaker
    from covo_cli.sessions.audio import to_pcm16
    from covo_cli.sessions.replay import play_in_time
    from covo_cli.settings.settings import load_settings

    speaker = LiveSpeaker(load_settings().audio.output)
    try:
        speaker.start()
        play_in_time([], lambda _: None, iter([to_pcm16(sound)]), speaker, warn=_warn)
    finally:
        speaker.close()


def _warn(message: str) -> None:
    typer.echo(f"covo: {message}", err=True)
