"""Which engine answers, and how one is built from the settings."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from covo_cli.errors import SettingsError
from covo_cli.settings import Settings, models_dir, voices_dir

if TYPE_CHECKING:
    from audio_io.vad import VoiceActivityDetector
    from model.engine import Engine
    from model.reply import Recognizer, ReplyGenerator
    from model.work import Executor


@dataclass(frozen=True, slots=True)
class EngineChoice:
    """The engine that will answer, and why it was picked."""

    name: str
    reason: str


def choose_engine(settings: Settings) -> EngineChoice:
    """What ``--engine`` means on this machine. Nothing is ever fallen back to in silence."""
    if settings.engine.name != "auto":
        return EngineChoice(settings.engine.name, "asked for")
    return EngineChoice(
        "lite", "the only engine in this version; Covo-Audio itself is not part of it yet"
    )


def build_engine(settings: Settings, *, real_time: bool) -> Engine:
    """The engine that the settings ask for, not loaded yet (see :meth:`Engine.warm_up`).

    ``real_time``: work on threads beside the conversation; otherwise the conversation may run
    faster than real time, and the time of the work is counted (:mod:`model.work`).

    Raises: SettingsError, VoiceError, ModelError.
    """
    from model.lite import build_cascade
    from model.weights import WeightStore
    from model.work import ThreadExecutor, VirtualExecutor
    from voices.store import VoiceStore

    weights = WeightStore(models_dir(settings))
    cascade = build_cascade(
        weights,
        VoiceStore(voices_dir()).get,
        voice=settings.voice.name,
        chat_model=settings.chat.model,
        chat_url=settings.chat.url,
        persona=_read_persona(settings.chat.persona),
    )
    executor = ThreadExecutor() if real_time else VirtualExecutor()
    return turn_taking(settings, cascade, executor, cascade.recognizer)


def turn_taking(
    settings: Settings,
    generator: ReplyGenerator,
    executor: Executor,
    recognizer: Recognizer | None,
) -> Engine:
    """``generator`` as an engine: detector and turn taking as the settings ask for.

    Raises: SettingsError, ModelError.
    """
    from model.turn_settings import TurnSettings
    from model.turns import TurnTakingEngine
    from model.weights import WeightStore

    turns = settings.turns
    weights = WeightStore(models_dir(settings))
    return TurnTakingEngine(
        generator,
        _detector(settings, weights.path("silero-vad", "silero_vad.onnx")),
        executor,
        TurnSettings(
            silence=turns.silence,
            speculate_after=min(turns.speculate_after, turns.silence),
            min_speech=turns.min_speech,
            barge_in=turns.barge_in,
            barge_in_confirm=turns.barge_in_confirm,
        ),
        recognizer,
    )


def _detector(settings: Settings, silero: Path) -> VoiceActivityDetector:
    from audio_io.vad import SileroVad, WebRtcVad

    return SileroVad(silero) if settings.audio.vad == "silero" else WebRtcVad()


def _read_persona(name: str) -> str | None:
    if not name:
        return None
    path = Path(name).expanduser()
    try:
        text = path.read_text(encoding="utf-8").strip()
    except (OSError, UnicodeDecodeError) as error:
        raise SettingsError(f"the persona file {path} cannot be read: {error}") from error
    if not text:
        raise SettingsError(f"the persona file {path} is empty: write who the assistant is")
    return text
