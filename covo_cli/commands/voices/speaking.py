"""``covo voices preview`` and ``use``: hear and choose a voice."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from covo_cli.commands.common import (
    chosen_speaker,
    voice_store,
    warn,
    warn_if_overridden,
    weight_store,
)
from covo_cli.commands.voices.names import CHOSEN_BY, VoiceName
from covo_cli.errors import CliError

if TYPE_CHECKING:
    from audio_io.signal import Audio

SENTENCE = "Hello, I am {name}. This is what I sound like when we talk to each other."
SENTENCE_ZH = "你好，很高兴认识你。我们聊天的时候，我的声音就是这样的。"


def preview(
    name: VoiceName,
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


def use(name: VoiceName) -> None:
    """Use a voice in conversations, for each engine that it serves."""
    from covo_cli.settings.settings import save_setting

    pack = voice_store().get(name)
    for engine in pack.engines:
        key = CHOSEN_BY[engine]
        file = save_setting(key, pack.name)
        typer.echo(f"{engine}: {pack.name} ({key} in {file})")
        warn_if_overridden(key)


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
