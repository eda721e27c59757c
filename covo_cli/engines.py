"""Which engine answers, and how one is built from the settings."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from covo_cli.errors import SettingsError
from covo_cli.settings import Settings, models_dir, voices_dir

if TYPE_CHECKING:
    from audio_io.vad import VoiceActivityDetector
    from model.endpointing import EndOfTurnModel
    from model.engine import Engine
    from model.reply import Recognizer, ReplyGenerator
    from model.turn_settings import TurnSettings
    from model.weights import WeightStore
    from model.work import Executor

LANGUAGE = "en"
"""What is spoken to the embedded engine."""


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
        language=LANGUAGE,
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
    from model.phrases import phrases_of
    from model.turns import TurnTakingEngine
    from model.weights import WeightStore

    weights = WeightStore(models_dir(settings))
    return TurnTakingEngine(
        generator,
        _detector(settings, weights.path("silero-vad", "silero_vad.onnx")),
        executor,
        turn_settings(settings),
        recognizer,
        phrases_of(LANGUAGE),
        _end_of_turn(settings, weights),
    )


def turn_settings(settings: Settings) -> TurnSettings:
    """The numbers of turn taking: those of ``turns.patience``, but for what is set itself."""
    from model.turn_settings import with_patience

    turns = settings.turns
    names = (
        *("silence", "silence_finished", "silence_statement", "silence_unfinished"),
        *("speculate_after", "min_speech", "barge_in", "barge_in_confirm"),
    )
    chosen = {
        name: getattr(turns, name)
        for name in names
        if settings.origins.get(f"turns.{name}", "default") != "default"
    }
    return with_patience(turns.patience, **chosen)


def _end_of_turn(settings: Settings, weights: WeightStore) -> EndOfTurnModel | None:
    from model.lite.smart_turn import SmartTurn

    if settings.turns.end_of_turn == "none":
        return None
    return SmartTurn(weights.path("smart-turn", "smart-turn-v3.2-cpu.onnx"))


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
