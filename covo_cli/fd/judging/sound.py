"""Read replies by their sound: token2wav speaks the codes, and Whisper writes down what it hears.

Both sides of a comparison are spoken in the same voice and in one piece, so that the codes alone
tell them apart, and not how a loop lays them out.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import cache
from pathlib import Path

import soxr
import torch

from audio_io.clock import USER_RATE
from covo_cli.bench.words import WORD_PACKAGES
from covo_cli.errors import CliError
from covo_cli.process.packages import require_packages
from model.covo.config.device import named_device
from model.covo.config.precision import token2wav_precision
from model.covo.config.token2wav_config import Token2WavConfig
from model.covo.loading.assemble import TOKEN2WAV
from model.covo.loading.checkpoint import load_token2wav
from model.covo.speech.token2wav import Token2Wav
from model.covo.speech.voice_catalogue import VoiceCatalogue
from model.errors import ModelError
from model.lite.recognizer import WhisperRecognizer
from model.weights.packages import WeightStore
from voices.errors import VoiceError
from voices.store import VoiceStore

ReadSound = Callable[[Sequence[int], str], str]
"""Returns the words that are heard of a reply's codes, in the language with this code."""


def sound_reader(
    student: Path, speaker: str, device: str, weights: WeightStore, packs: VoiceStore
) -> ReadSound | str:
    """Return what reads replies in the voice ``speaker``, or what it lacks. It loads the token2wav
    beside ``student`` and the recogniser when they are needed."""
    folder = student / TOKEN2WAV
    try:
        require_packages("eval", *WORD_PACKAGES)
        whisper = weights.whole("whisper-base")
        catalogue = VoiceCatalogue(student, packs.names(), packs.get)
        voice = catalogue.load(speaker, Token2WavConfig.read(folder / "config.json").flow).prompt
        precision = token2wav_precision("auto", named_device(device).type)
    except (CliError, ModelError, VoiceError) as error:
        return str(error)

    @cache
    def token2wav() -> Token2Wav:
        return load_token2wav(folder, device=device, precision=precision)

    @cache
    def recognizer(language: str) -> WhisperRecognizer:
        return WhisperRecognizer(whisper, language=language)

    def read(codes: Sequence[int], language: str) -> str:
        if not codes:
            return ""
        speaks = token2wav()
        wave = speaks.synthesize(torch.tensor(codes), voice).cpu().numpy()
        heard = soxr.resample(wave, speaks.config.rate, USER_RATE)
        return recognizer(language).transcribe(heard).text

    return read
