"""Which engine answers, and how one is built from the settings."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from covo_cli.engines.persona import read_persona
from covo_cli.errors import SettingsError
from covo_cli.settings.settings import Settings, models_dir, voices_dir
from model.errors import ModelError

if TYPE_CHECKING:
    from audio_io.signal import SpeechDetector
    from model.covo.loading.assemble import CovoModel
    from model.engine import Engine
    from model.hearing.recognition import LoadableRecognizer
    from model.jobs.executor import Executor
    from model.lite.cascade import Cascade
    from model.lite.recognizer import WhisperRecognizer
    from model.reply import ReplyGenerator
    from model.turns.endpointing import EndOfTurnModel
    from model.turns.turn_settings import TurnSettings
    from model.weights.packages import WeightStore

LANGUAGE = "en"
"""What is spoken to the embedded engine."""

_TAKING_TURNS = ("lite", "covo")
_NETWORK = ("covo", "covo-fd")
_FLAGS = {
    "--chat-model": ("chat.model", ("lite",)),
    "--chat-url": ("chat.url", ("lite",)),
    "--model": ("covo.model", _NETWORK),
    "--precision": ("covo.precision", _NETWORK),
    "--device": ("covo.device", _NETWORK),
    "--voice-prompt-seconds": ("covo.voice_prompt_seconds", _NETWORK),
    "--persona": ("chat.persona", _TAKING_TURNS),
    "--barge-in": ("turns.barge_in", _TAKING_TURNS),
    "--patience": ("turns.patience", _TAKING_TURNS),
    "--silence": ("turns.silence", _TAKING_TURNS),
}
"""The flags that some engines do without: the setting of each, and the engines that heed it."""


@dataclass(frozen=True, slots=True)
class EngineChoice:
    """The engine that will answer, and why it was picked. ``model``: what was looked at for that,
    so that it need not be read again."""

    name: str
    reason: str
    model: CovoModel | None = field(default=None, repr=False)


def choose_engine(settings: Settings) -> EngineChoice:
    """What ``--engine`` means on this machine. Nothing is ever fallen back to in silence."""
    if settings.engine.name != "auto":
        return EngineChoice(settings.engine.name, "asked for")
    from covo_cli.engines.covo_engine import pick_covo

    try:
        model = pick_covo(settings)
    except (ModelError, SettingsError) as error:
        return EngineChoice("lite", f"the embedded one; Covo-Audio is not used: {error}")
    return EngineChoice("covo", f"{settings.covo.model} is here, and fits", model)


def build_engine(
    settings: Settings, *, real_time: bool, choice: EngineChoice | None = None
) -> Engine:
    """The engine of ``choice`` (None: what the settings ask for), not loaded yet (see
    :meth:`Engine.warm_up`).

    ``real_time``: work on threads beside the conversation; otherwise the conversation may run
    faster than real time, and the time of the work is counted (:mod:`model.jobs.executor`).

    Raises: SettingsError, VoiceError, ModelError.
    """
    from covo_cli.process.heap import share_one_heap
    from model.jobs.executor import ThreadExecutor, VirtualExecutor

    share_one_heap()
    choice = choice or choose_engine(settings)
    _check_flags(settings, choice)
    executor = ThreadExecutor() if real_time else VirtualExecutor()
    if choice.name == "covo-fd":
        from covo_cli.engines.duplex_engine import build_duplex
        from model.weights.packages import WeightStore

        weights = WeightStore(models_dir(settings))
        return build_duplex(settings, _detector(settings, weights), executor)
    if choice.name == "covo":
        from covo_cli.engines.covo_engine import build_covo

        generator = build_covo(settings, choice.model)
        recognizer = _recognizer(settings, "auto") if settings.covo.transcript else None
        return turn_taking(settings, generator, executor, recognizer)
    return turn_taking(
        settings, _build_cascade(settings), executor, _recognizer(settings, LANGUAGE)
    )


def _check_flags(settings: Settings, choice: EngineChoice) -> None:
    """Refuse what was asked for on the command line and would have no effect."""
    for flag, (key, engines) in _FLAGS.items():
        if choice.name not in engines and settings.origins.get(key) == "command line":
            raise SettingsError(
                f"{flag} goes with --engine {' or '.join(engines)}, and {choice.name} answers "
                f"here: {choice.reason}"
            )


def voice_names(settings: Settings, choice: EngineChoice) -> Sequence[str]:
    """The voices that the engine of ``choice`` can speak with. Raises: VoiceError, ModelError."""
    if choice.name == "covo":
        from covo_cli.engines.covo_engine import covo_voices

        return () if settings.covo.text_only else covo_voices(settings).names()
    if choice.name == "covo-fd":
        return ()
    from voices.store import VoiceStore

    return VoiceStore(voices_dir()).names()


def turn_taking(
    settings: Settings,
    generator: ReplyGenerator,
    executor: Executor,
    recognizer: LoadableRecognizer | None,
) -> Engine:
    """Make an engine of ``generator``, with the detector and the turn taking of the settings.
    Without a ``recognizer`` no words are known; then the generator has to hear for itself.

    Raises: SettingsError, ModelError.
    """
    from model.turns.controller import TurnTakingEngine
    from model.turns.phrases import phrases_of
    from model.weights.packages import WeightStore

    weights = WeightStore(models_dir(settings))
    return TurnTakingEngine(
        generator,
        _detector(settings, weights),
        executor,
        turn_settings(settings),
        recognizer,
        phrases_of(LANGUAGE) if recognizer is not None else None,
        _end_of_turn(settings, weights),
    )


def turn_settings(settings: Settings) -> TurnSettings:
    """The numbers of turn taking: those of ``turns.patience``, but for what is set itself."""
    from model.turns.turn_settings import with_patience

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


def _build_cascade(settings: Settings) -> Cascade:
    from model.lite import build_cascade
    from model.weights.packages import WeightStore
    from voices.store import VoiceStore

    if settings.covo.text_only:
        raise SettingsError(
            "the embedded engine always speaks: only writing (covo.text_only, --text-only) goes "
            "with --engine covo"
        )
    return build_cascade(
        WeightStore(models_dir(settings)),
        VoiceStore(voices_dir()).get,
        voice=settings.voice.name,
        chat_model=settings.chat.model,
        chat_url=settings.chat.url,
        persona=read_persona(settings.chat.persona),
    )


def _recognizer(settings: Settings, language: str) -> WhisperRecognizer:
    from model.lite.recognizer import WhisperRecognizer
    from model.weights.packages import WeightStore

    folder = WeightStore(models_dir(settings)).whole("whisper-base")
    return WhisperRecognizer(folder, language=language)


def _detector(settings: Settings, weights: WeightStore) -> SpeechDetector:
    from audio_io.vad import SileroVad, WebRtcVad

    if settings.audio.vad == "webrtc":
        return WebRtcVad()
    return SileroVad(weights.path("silero-vad", "silero_vad.onnx"))
