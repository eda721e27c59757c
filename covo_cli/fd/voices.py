"""The embedded engine's voices and recogniser, for saying and reading prompts."""

from __future__ import annotations

from functools import cache

from audio_io.signal import Audio
from covo_cli.bench.speech import rendered
from covo_cli.commands.common import voice_store
from covo_cli.fd.questions import Mouth
from covo_cli.fd.recipe import FdRecipe
from covo_cli.settings.settings import Settings, models_dir
from model.lite import SynthesizerMaker
from model.lite.recognizer import WhisperRecognizer
from model.lite.synthesizer import Synthesizer
from model.weights.packages import WeightStore


def mouth(settings: Settings, recipe: FdRecipe) -> Mouth:
    """Return what says and reads prompts. Raises: VoiceError, WeightsError, SynthesizerError."""
    weights, packs = WeightStore(models_dir(settings)), voice_store()
    make = SynthesizerMaker(weights, packs.get, threads=1)

    @cache
    def voice(name: str) -> Synthesizer:
        loaded = make(name)
        loaded.load()
        return loaded

    @cache
    def recognizer() -> WhisperRecognizer:
        loaded = WhisperRecognizer(weights.whole("whisper-base"))
        loaded.load()
        return loaded

    def say(name: str, text: str) -> Audio:
        return rendered(text, voice(name))

    names = (*recipe.questions.voices, *recipe.questions.held_out_voices)
    languages = {
        name: "zh" if packs.get(name).language.startswith("zh") else "en" for name in names
    }
    return Mouth(say, languages, lambda audio: recognizer().transcribe(audio).text)
