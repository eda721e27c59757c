"""Which engine answers, and how one is built from the settings."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from covo_cli.errors import SettingsError
from covo_cli.persona import read_persona
from covo_cli.settings import Settings, models_dir, voices_dir

if TYPE_CHECKING:
    from audio_io.vad import VoiceActivityDetector
    from model.covo.generator import CovoGenerator
    from model.engine import Engine
    from model.lite.cascade import Cascade
    from model.weights import WeightStore


@dataclass(frozen=True, slots=True)
class EngineChoice:
    """The engine that will answer, and why it was picked."""

    name: str
    reason: str


def choose_engine(settings: Settings) -> EngineChoice:
    """What ``--engine`` means on this machine. Nothing is ever fallen back to in silence."""
    if settings.engine.name != "auto":
        return EngineChoice(settings.engine.name, "asked for")
    from covo_cli.covo_engine import why_not_covo

    obstacle = why_not_covo(settings)
    if not obstacle:
        return EngineChoice("covo", f"{settings.covo.model} is here, and fits")
    return EngineChoice("lite", f"the embedded one; Covo-Audio is not used: {obstacle}")


def build_engine(settings: Settings, choice: EngineChoice, *, real_time: bool) -> Engine:
    """The engine of ``choice``, not loaded yet (see :meth:`Engine.warm_up`).

    ``real_time``: work on threads beside the conversation; otherwise the conversation may run
    faster than real time, and the time of the work is counted (:mod:`model.work`).

    Raises: SettingsError, VoiceError, ModelError.
    """
    from model.turn_settings import TurnSettings
    from model.turns import TurnTakingEngine
    from model.weights import WeightStore
    from model.work import ThreadExecutor, VirtualExecutor

    weights = WeightStore(models_dir(settings))
    generator: Cascade | CovoGenerator
    if choice.name == "covo":
        from covo_cli.covo_engine import build_covo

        generator = build_covo(settings)
    else:
        generator = _build_cascade(settings, weights)
    turns = settings.turns
    return TurnTakingEngine(
        generator,
        _detector(settings, weights),
        ThreadExecutor() if real_time else VirtualExecutor(),
        TurnSettings(
            silence=turns.silence,
            speculate_after=min(turns.speculate_after, turns.silence),
            min_speech=turns.min_speech,
            barge_in=turns.barge_in,
            barge_in_confirm=turns.barge_in_confirm,
        ),
        generator.recognizer,
    )


def voice_names(settings: Settings, choice: EngineChoice) -> Sequence[str]:
    """The voices that the engine of ``choice`` can speak with. Raises: VoiceError, ModelError."""
    if choice.name == "covo":
        from covo_cli.covo_engine import covo_voices

        return () if settings.covo.text_only else covo_voices(settings).names()
    from voices.store import VoiceStore

    return VoiceStore(voices_dir()).names()


def _build_cascade(settings: Settings, weights: WeightStore) -> Cascade:
    from model.lite import build_cascade
    from voices.store import VoiceStore

    if settings.covo.text_only:
        raise SettingsError(
            "the embedded engine always speaks: only writing (covo.text_only, --text-only) goes "
            "with --engine covo"
        )
    return build_cascade(
        weights,
        VoiceStore(voices_dir()).get,
        voice=settings.voice.name,
        chat_model=settings.chat.model,
        chat_url=settings.chat.url,
        persona=read_persona(settings.chat.persona),
    )


def _detector(settings: Settings, weights: WeightStore) -> VoiceActivityDetector:
    from audio_io.vad import SileroVad, WebRtcVad

    if settings.audio.vad == "webrtc":
        return WebRtcVad()
    return SileroVad(weights.path("silero-vad", "silero_vad.onnx"))
