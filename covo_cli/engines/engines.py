"""Choose the engine and build it from the settings."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from typing import TYPE_CHECKING

from covo_cli.engines.model_choice import chat_file, recognizer_folder
from covo_cli.engines.persona import read_persona
from covo_cli.errors import SettingsError
from covo_cli.settings.sections import REMOTE
from covo_cli.settings.settings import OPTIONS, Settings, SettingSource, models_dir, voices_dir
from model.errors import ModelError

if TYPE_CHECKING:
    from audio_io.signal import SpeechDetector
    from model.covo.loading.assemble import CovoModel
    from model.duplex.assemble import DuplexModel
    from model.engine import Engine
    from model.hearing.identity.profile import SpeakerEmbedder
    from model.hearing.recognition import LoadableRecognizer
    from model.jobs.executor import Executor
    from model.lite.cascade import Cascade
    from model.lite.outlook import SmolOutlook
    from model.lite.recognizer import WhisperRecognizer
    from model.playback.timers import Timers
    from model.reply import ReplyGenerator
    from model.tools.toolbox import Toolbox
    from model.turns.endings.models import EndOfTurnModel, OutlookModel
    from model.turns.turn_settings import TurnSettings
    from model.weights.packages import WeightStore

ASSUMED_LANGUAGE = "en"
"""The language by whose rules words are judged if the recogniser does not tell theirs."""


@dataclass(frozen=True, slots=True)
class EngineChoice:
    """The chosen engine and why. ``model``, ``duplex``: the network's model, inspected already;
    engines that are built on the same one share its weights."""

    name: str
    reason: str
    model: CovoModel | None = field(default=None, repr=False)
    duplex: DuplexModel | None = field(default=None, repr=False)

    @property
    def memory(self) -> str:
        """Describe the memory that is planned for the network; empty without one."""
        inspected = self.model or self.duplex
        return "" if inspected is None else str(inspected.plan)


def choose_engine(settings: Settings) -> EngineChoice:
    """Choose the engine for this machine."""
    if settings.engine.name != "auto":
        return EngineChoice(settings.engine.name, "as set")
    from covo_cli.engines.covo_engine import pick_covo

    try:
        model = pick_covo(settings)
    except (ModelError, SettingsError) as error:
        return EngineChoice("lite", f"embedded; Covo-Audio is not available: {error}")
    return EngineChoice("covo", f"{settings.covo.model} is installed and fits", model)


def for_sessions(settings: Settings, choice: EngineChoice, sessions: int) -> EngineChoice:
    """Return ``choice`` with a model on which ``sessions`` engines can be built.

    Raises: SettingsError, VoiceError, ModelError, when there is no memory for so many, too.
    """
    if choice.name == "covo":
        from covo_cli.engines.covo_engine import covo_model

        return replace(choice, model=covo_model(settings, sessions=sessions))
    if choice.name == "covo-fd":
        from covo_cli.engines.duplex_engine import duplex_model

        return replace(choice, duplex=duplex_model(settings, sessions=sessions))
    return choice


def build_engine(
    settings: Settings,
    *,
    real_time: bool,
    choice: EngineChoice | None = None,
    tools: Toolbox | None = None,
) -> Engine:
    """Build an engine; :meth:`Engine.warm_up` loads it.

    Args:
        real_time: work on threads beside the conversation. Otherwise a clock counts the work, so
            that the conversation can run faster (:mod:`model.jobs.executor`).
        choice: None chooses by the settings.
        tools: those that the chat model may use, of the engine ``lite``.

    Raises: SettingsError, VoiceError, ModelError.
    """
    from covo_cli.process.native import share_one_heap
    from model.jobs.executor import ThreadExecutor, VirtualExecutor

    share_one_heap()
    choice = choice or choose_engine(settings)
    check_heeded(settings, choice)
    _language(settings)
    if choice.name == "realtime":
        from covo_cli.engines.remote_engine import build_realtime

        if not real_time:
            raise SettingsError("a server lives in real time: drop --pace fast")
        return build_realtime(settings, detector(settings))
    executor = ThreadExecutor() if real_time else VirtualExecutor()
    if choice.name == "covo-fd":
        from covo_cli.engines.duplex_engine import build_duplex

        reader = partial(whisper, settings)
        return build_duplex(settings, detector(settings), executor, reader, choice.duplex)
    if choice.name == "covo":
        from covo_cli.engines.covo_engine import build_covo

        generator = build_covo(settings, choice.model)
        recognizer = whisper(settings) if settings.covo.transcript else None
        return turn_taking(settings, generator, executor, recognizer)
    if choice.name == "chat-audio":
        from covo_cli.engines.remote_engine import build_audio_chat
        from model.endpoints.recalled_words import RecalledWords

        words = RecalledWords(whisper(settings))
        return turn_taking(settings, build_audio_chat(settings, words.of), executor, words)
    return turn_taking(
        settings,
        lite_cascade(settings, tools),
        executor,
        whisper(settings),
        timers=tools.timers if tools is not None else None,
    )


def check_heeded(settings: Settings, choice: EngineChoice) -> None:
    """Reject flags and must-be-heeded settings that the engine does not support.

    Raises: SettingsError.
    """
    supported_by: dict[str, set[str]] = {}
    for key, origin in settings.origins.items():
        option = OPTIONS[key]
        changed = settings.value(key) != option.default
        if origin.source is SettingSource.FLAG or (option.must_be_heeded and changed):
            supported_by.setdefault(origin.place, set()).update(option.engines or {choice.name})
    for place, engines in supported_by.items():
        if choice.name not in engines:
            raise SettingsError(
                f"{place} has no effect with the engine {choice.name} ({choice.reason}): use "
                f"--engine {' or '.join(sorted(engines))}"
            )


def voices_to_choose(settings: Settings, choice: EngineChoice) -> Mapping[str, str]:
    """Return the voices that the engine can switch to, of ``lite`` those of the language in use,
    each with what it sounds like, as far as that is known.

    Raises: VoiceError, ModelError.
    """
    names: Sequence[str] = ()
    if choice.name == "covo":
        from covo_cli.engines.covo_engine import covo_voices

        names = () if settings.covo.text_only else covo_voices(settings).names()
    elif choice.name in REMOTE:
        from covo_cli.engines.remote_engine import remote_voices

        names = remote_voices(settings)
    elif choice.name == "lite":
        from voices.store import VoiceStore

        store = VoiceStore(voices_dir())
        language = store.get(settings.voice.name).language
        packs = store.in_language(language.partition("-")[0])
        return {pack.name: pack.description for pack in packs}
    return dict.fromkeys(names, "")


def turn_taking(
    settings: Settings,
    generator: ReplyGenerator,
    executor: Executor,
    recognizer: LoadableRecognizer | None,
    outlook: OutlookModel | None = None,
    timers: Timers | None = None,
) -> Engine:
    """Build the turn-taking engine around ``generator``, which must hear if ``recognizer`` is None.

    ``outlook``: the language model for the end of turns; None: as the settings say. ``timers``:
    those that ring in the conversation.

    Raises: SettingsError, ModelError.
    """
    from model.hearing.languages import AUTO
    from model.turns.controller import TurnTakingEngine
    from model.turns.phrases import phrases_of

    language = _language(settings)
    return TurnTakingEngine(
        generator,
        detector(settings),
        executor,
        turn_settings(settings),
        recognizer,
        phrases_of(ASSUMED_LANGUAGE) if recognizer is not None else None,
        _end_of_turn(settings),
        "" if language == AUTO else language,
        _speaker_embedder(settings),
        outlook or (outlook_model(settings) if recognizer is not None else None),
        timers,
    )


def turn_settings(settings: Settings) -> TurnSettings:
    """Convert the settings for the turn-taking controller."""
    from model.turns.turn_settings import HumSettings, TurnSettings

    turns = settings.turns
    return TurnSettings(
        silence=turns.silence,
        silence_finished=turns.silence_finished,
        silence_statement=turns.silence_statement,
        silence_unfinished=turns.silence_unfinished,
        speculate_after=turns.speculate_after,
        min_speech=turns.min_speech,
        barge_in=turns.barge_in,
        barge_in_confirm=turns.barge_in_confirm,
        humming=HumSettings() if turns.backchannels else None,
    )


def _end_of_turn(settings: Settings) -> EndOfTurnModel | None:
    from model.lite.smart_turn import SmartTurn

    if settings.turns.end_of_turn == "none":
        return None
    return SmartTurn(_weights(settings).path("smart-turn", "smart-turn-v3.2-cpu.onnx"))


def outlook_model(settings: Settings) -> SmolOutlook | None:
    """Return the language model for the end of turns, None if it is not wanted or reads other
    languages. Raises: SettingsError, WeightsError."""
    from model.hearing.languages import AUTO
    from model.lite import CHAT_FILE
    from model.lite.outlook import SmolOutlook

    unread = _language(settings) not in (AUTO, *SmolOutlook.languages)
    if settings.turns.end_of_turn == "none" or unread:
        return None
    return SmolOutlook(_weights(settings).path("smollm2-135m", CHAT_FILE))


def _speaker_embedder(settings: Settings) -> SpeakerEmbedder | None:
    from model.hearing.identity.profile import CamPlusPlusEmbedder

    if not settings.turns.only_user:
        return None
    return CamPlusPlusEmbedder(_weights(settings).path("campplus", "campplus_cn_en_common.pt"))


def lite_cascade(settings: Settings, tools: Toolbox | None = None) -> Cascade:
    """Build the embedded engine's reply generator, which may use ``tools``.

    Raises: SettingsError, VoiceError, ModelError.
    """
    from model.lite import ChatLimits, build_cascade
    from voices.store import VoiceStore

    return build_cascade(
        _weights(settings),
        VoiceStore(voices_dir()).get,
        voice=settings.voice.name,
        chat_model=chat_file(settings),
        chat_url=settings.chat.url,
        persona=read_persona(settings.chat.persona),
        limits=ChatLimits(settings.chat.max_tokens, settings.chat.context, settings.chat.timeout),
        tools=tools,
    )


def whisper(settings: Settings) -> WhisperRecognizer:
    """Build the recogniser of the user's words. Raises: SettingsError, ModelError."""
    from model.lite.recognizer import WHISPER_BASE, WhisperRecognizer

    language = _language(settings)
    folder = recognizer_folder(settings, _weights(settings))
    name = f"Whisper in {folder.name}" if settings.hearing.model else WHISPER_BASE
    return WhisperRecognizer(folder, language=language, name=name)


def _language(settings: Settings) -> str:
    """Return the user's language, a code or ``auto``. Raises: SettingsError."""
    from model.hearing.languages import AUTO, LANGUAGES

    language = settings.hearing.language
    if language not in (AUTO, *LANGUAGES):
        codes = {name: code for code, name in LANGUAGES.items()}
        meant = codes.get(language.capitalize(), language.lower().partition("-")[0])
        hint = f"; did you mean {meant}?" if meant in LANGUAGES else ""
        raise SettingsError(
            f"hearing.language cannot be {language!r}: it must be auto or a code such as en, zh "
            f"or de{hint}"
        )
    return language


def detector(settings: Settings) -> SpeechDetector:
    """Build the detector of the user's speech. Raises: ModelError, AudioError."""
    from audio_io.vad import SileroVad, WebRtcVad

    if settings.audio.vad == "webrtc":
        return WebRtcVad()
    return SileroVad(_weights(settings).path("silero-vad", "silero_vad.onnx"))


def _weights(settings: Settings) -> WeightStore:
    from model.weights.packages import WeightStore

    return WeightStore(models_dir(settings))
