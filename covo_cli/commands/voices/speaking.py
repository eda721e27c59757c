"""``covo voices preview`` and ``use``: hear and choose a voice; ``covo bench voices``."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from covo_cli.commands.common import (
    JsonFile,
    chosen_speaker,
    save_json,
    say,
    voice_store,
    warn,
    warn_if_overridden,
    weight_store,
)
from covo_cli.commands.voices.names import (
    CHOSEN_BY,
    TUNING,
    VoiceName,
    complete_voice,
    voices_of,
)
from covo_cli.errors import CliError
from covo_cli.settings.flags import with_flags

if TYPE_CHECKING:
    from audio_io.signal import Audio
    from covo_cli.settings.settings import Settings
    from voices.pack import VoicePack

GREETINGS = {
    "en": "Hello, I am {name}. This is what I sound like when we talk to each other.",
    "es": "Hola, mucho gusto. Así suena mi voz cuando hablamos.",
    "zh": "你好，很高兴认识你。我们聊天的时候，我的声音就是这样的。",
}
"""By the language of the voice; in English where it is another."""


@with_flags(TUNING)
def preview(
    flags: Mapping[str, object],
    name: Annotated[
        str | None,
        typer.Argument(
            help="A voice (covo voices list).", autocompletion=complete_voice, show_default=False
        ),
    ] = None,
    everyone: Annotated[
        bool, typer.Option("--all", help="All voices, as sound files and a page that plays them.")
    ] = False,
    language: Annotated[
        str, typer.Option(help="With --all: only voices of this language: en, en-GB, zh ...")
    ] = "",
    text: Annotated[str, typer.Option(help="Text to speak.")] = "",
    output: Annotated[
        Path | None,
        typer.Option(
            "--output", "--out", help="Sound file to write instead of playing; with --all a folder."
        ),
    ] = None,
) -> None:
    """Hear a voice, or render a sheet of all."""
    from covo_cli.process.terminal import PlainConsole
    from covo_cli.settings.settings import load_settings

    if everyone is (name is not None):
        raise CliError("name a voice, or give --all")
    settings = load_settings(flags)
    if everyone:
        _render_all(language, text, output, settings)
        return
    if language:
        raise CliError("--language goes with --all")
    pack = voice_store().get(str(name))
    if pack.lite is None:
        raise CliError(
            f"{name} is for Covo-Audio only: hear it with covo chat --engine covo --voice {name}"
        )
    with PlainConsole(stderr=True).status(f"Loading {pack.name} ..."):
        sound = _speaker(settings)(pack, text)
    if output is None:
        _play(sound)
        return
    from audio_io.clock import ASSISTANT_RATE
    from audio_io.files import write_audio

    write_audio(output, sound, ASSISTANT_RATE)
    typer.echo(f"{output}: {sound.size / ASSISTANT_RATE:.1f} s of {name}")


def use(name: VoiceName) -> None:
    """Use a voice in conversations, for each engine that it serves."""
    from covo_cli.settings.settings import save_setting

    pack = voice_store().get(name)
    for engine in pack.engines:
        key = CHOSEN_BY[engine]
        file = save_setting(key, pack.name)
        typer.echo(f"{engine}: {pack.name} ({key} in {file})")
        warn_if_overridden(key)


def bench_voices(
    voice: Annotated[
        list[str] | None,
        typer.Option(
            help="English or Spanish voice to measure; repeatable; default: all English ones.",
            autocompletion=complete_voice,
        ),
    ] = None,
    clauses: Annotated[int, typer.Option(help="Clauses that each voice says.", min=1)] = 20,
    json_file: JsonFile = None,
) -> None:
    """Measure how soon, how fast and how clearly voices speak.

    Every voice of a language says the same clauses in pieces, as in replies, and as a whole.
    Also measures what is understood, the engine's memory and the cost of changing to the voice.
    """
    from covo_cli.bench.goals import goals_table
    from covo_cli.bench.lite import bench_voices as measure
    from covo_cli.bench.voices import CLAUSES, voices_table
    from covo_cli.bench.words import WORD_PACKAGES
    from covo_cli.process.packages import require_packages
    from covo_cli.process.terminal import PlainConsole
    from covo_cli.settings.settings import load_settings

    require_packages("eval", *WORD_PACKAGES)
    store = voice_store()
    english = [pack.name for pack in voices_of(store, "en") if pack.lite is not None]
    for name in voice or ():
        pack = store.get(name)
        if pack.lite is None or pack.language.partition("-")[0] not in CLAUSES:
            raise CliError(
                f"{name} cannot say the clauses: name English or Spanish voices of the engine lite"
            )
    for figures in measure(load_settings(), voice or english, clauses, say):
        save_json(json_file, figures)  # those so far, should it be broken off
    console = PlainConsole()
    console.print(voices_table(figures))
    console.print(goals_table(figures, "Goals, for every voice"))


def _render_all(language: str, text: str, folder: Path | None, settings: Settings) -> None:
    from covo_cli.process.terminal import PlainConsole
    from covo_cli.voices.sheet import PAGE, render_sheet

    if folder is None:
        raise CliError("--all needs a folder for the samples: --out FOLDER")
    store, speak, problems = voice_store(), _speaker(settings), list[str]()
    packs = [pack for pack in voices_of(store, language) if pack.lite is not None]
    console = PlainConsole(stderr=True)

    def nearest(pack: VoicePack) -> str:
        near = store.likeness(pack.name) if store.voiceprint(pack) is not None else {}
        near.pop(pack.name, None)
        return max(near, key=lambda other: near[other], default="")

    def failed(problem: str) -> None:
        problems.append(problem)
        warn(problem)

    with console.status("Rendering ...") as status:

        def say(pack: VoicePack) -> Audio:
            status.update(f"Rendering {pack.name} ({packs.index(pack) + 1} of {len(packs)}) ...")
            return speak(pack, text)

        count = render_sheet(packs, folder, say, nearest, failed)
    if not count:
        raise CliError("no voice could speak")
    typer.echo(f"{folder / PAGE}: {count} voices")
    if problems:
        raise typer.Exit(1)


def _speaker(settings: Settings) -> Callable[[VoicePack, str], Audio]:
    """Return what says a text, or if it is empty a greeting, in a voice as the settings tune it."""
    import numpy as np

    from covo_cli.engines.small_models import voice_tuning
    from model.lite import SynthesizerMaker

    make = SynthesizerMaker(weight_store(), voice_store().get, tuning=voice_tuning(settings))

    def speak(pack: VoicePack, text: str) -> Audio:
        greeting = GREETINGS.get(pack.language.partition("-")[0], GREETINGS["en"])
        sentence = text or greeting.format(name=pack.name)
        synthesizer = make(pack.name)
        try:
            clauses = list(synthesizer.stream(sentence))
        finally:
            synthesizer.close()
        if not clauses:
            raise CliError(f"nothing to pronounce in {sentence!r}; give --text some words")
        return np.concatenate(clauses)

    return speak


def _play(sound: Audio) -> None:
    from covo_cli.sessions.audio import to_pcm16
    from covo_cli.sessions.replay import play_in_time

    speaker = chosen_speaker()
    try:
        speaker.start()
        play_in_time([], lambda _: None, iter([to_pcm16(sound)]), speaker, warn=warn)
    finally:
        speaker.close()
