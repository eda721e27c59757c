"""The small models that engines have beside a network: for words, voices and the end of a turn, and
those of the embedded engine."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from covo_cli.engines.model_choice import chat_file, recognizer_folder
from covo_cli.engines.persona import read_persona
from covo_cli.settings.settings import Settings, models_dir, voices_dir
from model.jobs.shared import Shared

if TYPE_CHECKING:
    from audio_io.signal import SpeechDetector
    from model.hearing.identity.profile import CamPlusPlusEmbedder
    from model.lite import SynthesizerMaker
    from model.lite.cascade import Cascade
    from model.lite.recognizer import LoadedWhisper, WhisperRecognizer
    from model.lite.smart_turn import SmartTurn
    from model.tools.toolbox import Toolbox
    from model.weights.packages import WeightStore
    from voices.tuning import VoiceTuning


@dataclass(frozen=True)
class SharedModels:
    """What the engines of several conversations have in common: each is loaded once. They are at
    work for several at a time or in the order of their calls, so nobody waits for long."""

    whisper: Shared[LoadedWhisper] = field(default_factory=Shared)
    voices: Shared[SynthesizerMaker] = field(default_factory=Shared)
    end_of_turn: Shared[SmartTurn] = field(default_factory=Shared)
    speakers: Shared[CamPlusPlusEmbedder] = field(default_factory=Shared)


def whisper(settings: Settings, shared: SharedModels | None = None) -> WhisperRecognizer:
    """Build the recogniser of the user's words. Raises: ModelError."""
    from model.lite.recognizer import WHISPER_BASE, WhisperRecognizer

    folder = recognizer_folder(settings, weight_store(settings))
    return WhisperRecognizer(
        folder,
        language=settings.hearing.language,
        name=f"Whisper in {folder.name}" if settings.hearing.model else WHISPER_BASE,
        shared=shared.whisper if shared is not None else None,
    )


def end_of_turn_model(settings: Settings, shared: SharedModels | None = None) -> SmartTurn | None:
    """Build the model that hears the end of a turn, None if it is not wanted. Raises:
    WeightsError."""
    from model.lite.smart_turn import SmartTurn

    if settings.turns.end_of_turn == "none":
        return None
    path = weight_store(settings).path("smart-turn", "smart-turn-v3.2-cpu.onnx")
    return (shared or SharedModels()).end_of_turn.get(lambda: SmartTurn(path))


def speaker_embedder(
    settings: Settings, shared: SharedModels | None = None
) -> CamPlusPlusEmbedder | None:
    """Build the network that knows voices, None if it is not wanted. Raises: WeightsError."""
    from model.hearing.identity.profile import CamPlusPlusEmbedder

    if not settings.turns.only_user:
        return None
    path = weight_store(settings).path("campplus", "campplus_cn_en_common.pt")
    return (shared or SharedModels()).speakers.get(lambda: CamPlusPlusEmbedder(path))


def lite_cascade(
    settings: Settings, tools: Toolbox | None = None, shared: SharedModels | None = None
) -> Cascade:
    """Build the embedded engine's reply generator, which may use ``tools``.

    Raises: SettingsError, VoiceError, ModelError.
    """
    from model.lite import ChatLimits, build_cascade
    from voices.store import VoiceStore

    return build_cascade(
        weight_store(settings),
        VoiceStore(voices_dir()).get,
        voice=settings.voice.name,
        chat_model=chat_file(settings),
        chat_url=settings.chat.url,
        persona=read_persona(settings.chat.persona),
        limits=ChatLimits(settings.chat.max_tokens, settings.chat.context, settings.chat.timeout),
        tools=tools,
        shared=shared.voices if shared is not None else None,
        tuning=voice_tuning(settings),
    )


def voice_tuning(settings: Settings) -> VoiceTuning:
    """Return how the settings change the voices of the embedded engine."""
    from voices.tuning import VoiceTuning

    return VoiceTuning(settings.voice.speed, settings.voice.pitch, settings.voice.loudness)


def detector(settings: Settings) -> SpeechDetector:
    """Build the detector of the user's speech. Raises: ModelError, AudioError."""
    from audio_io.vad import SileroVad, WebRtcVad

    if settings.audio.vad == "webrtc":
        return WebRtcVad()
    return SileroVad(weight_store(settings).path("silero-vad", "silero_vad_16k.onnx"))


def weight_store(settings: Settings) -> WeightStore:
    """Return the store of the small models' weights."""
    from model.weights.packages import WeightStore

    return WeightStore(models_dir(settings))
