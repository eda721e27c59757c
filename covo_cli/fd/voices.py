"""The embedded engine's voices and recogniser, for saying and reading prompts."""

from __future__ import annotations

from functools import cache

from covo_cli.bench.speech import rendered
from covo_cli.commands.common import voice_store
from covo_cli.fd.questions import Mouth, Say
from covo_cli.fd.recipe import FdRecipe
from covo_cli.settings.settings import Settings, models_dir
from model.lite import SynthesizerMaker
from model.lite.recognizer import WhisperRecognizer
from model.lite.synthesizer import Synthesizer
from model.weights.packages import WeightStore


def say_in_voices(settings: Settings) -> Say:
    """Return what says a text in one of the voices. Raises: SettingsError."""
    make = SynthesizerMaker(WeightStore(models_dir(settings)), voice_store().get, threads=1)

    @cache
    def voice(name: str) -> Synthesizer:
        loaded = make(name)
        loaded.load()
        return loaded

    return lambda name, text: rendered(text, voice(name))


def mouth(settings: Settings, recipe: FdRecipe) -> Mouth:
    """Return what says and reads prompts. Raises: VoiceError, WeightsError, SynthesizerError."""
    weights, packs = WeightStore(models_dir(settings)), voice_store()

    @cache
    def recognizer() -> WhisperRecognizer:
        loaded = WhisperRecognizer(weights.whole("whisper-base"))
        loaded.load()
        return loaded

    names = (*recipe.questions.voices, *recipe.questions.held_out_voices)
    languages = {
        name: "zh" if packs.get(name).language.startswith("zh") else "en" for name in names
    }
    return Mouth(
        say_in_voices(settings), languages, lambda audio: recognizer().transcribe(audio).text
    )
