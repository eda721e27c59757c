"""Choose the engine and build it from the settings."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from typing import TYPE_CHECKING

from covo_cli.engines.small_models import (
    SharedModels,
    detector,
    end_of_turn_model,
    lite_cascade,
    speaker_embedder,
    weight_store,
    whisper,
)
from covo_cli.errors import SettingsError
from covo_cli.settings.sections import REMOTE
from covo_cli.settings.settings import OPTIONS, Settings, SettingSource, voices_dir
from model.errors import ModelError

if TYPE_CHECKING:
    from model.covo.loading.assemble import CovoModel
    from model.duplex.assemble import DuplexModel
    from model.engine import Engine
    from model.hearing.recognition import LoadableRecognizer
    from model.jobs.executor import Executor
    from model.lite.chat import ChatModel
    from model.lite.outlook import SmolOutlook
    from model.playback.timers import Timers
    from model.reply import ReplyGenerator
    from model.tools.toolbox import Toolbox
    from model.turns.endings.models import OutlookModel
    from model.turns.turn_settings import TurnSettings

ASSUMED_LANGUAGE = "en"
"""The language by whose rules words are judged if the recogniser does not tell theirs."""


@dataclass(frozen=True, slots=True)
class EngineChoice:
    """The chosen engine and why. ``model``, ``duplex``: the network's model, inspected already;
    engines that are built on the same one share its weights, and the ``shared`` small models."""

    name: str
    reason: str
    model: CovoModel | None = field(default=None, repr=False)
    duplex: DuplexModel | None = field(default=None, repr=False)
    shared: SharedModels | None = field(default=None, repr=False)

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
    """Return ``choice`` with models on which ``sessions`` engines can be built.

    Raises: SettingsError, VoiceError, ModelError, when there is no memory for so many, too.
    """
    choice = replace(choice, shared=SharedModels())
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
            that the conversation can run faster (:mod:`model.jobs.virtual_executor`).
        choice: None chooses by the settings.
        tools: those that the chat model may use, of the engine ``lite``.

    Raises: SettingsError, VoiceError, ModelError.
    """
    from model.jobs.thread_executor import ThreadExecutor
    from model.jobs.virtual_executor import VirtualExecutor

    choice = choice or choose_engine(settings)
    shared = choice.shared
    check_heeded(settings, choice)
    if choice.name == "realtime":
        from covo_cli.engines.remote_engine import build_realtime

        if not real_time:
            raise SettingsError("a server lives in real time: drop --pace fast")
        return build_realtime(settings, detector(settings))
    executor = ThreadExecutor() if real_time else VirtualExecutor()
    if choice.name == "covo-fd":
        from covo_cli.engines.duplex_engine import build_duplex

        reader = partial(whisper, settings, shared)
        return build_duplex(settings, detector(settings), executor, reader, choice.duplex)
    if choice.name == "covo":
        from covo_cli.engines.covo_engine import build_covo

        generator = build_covo(settings, choice.model)
        recognizer = whisper(settings, shared) if settings.covo.transcript else None
        return turn_taking(settings, generator, executor, recognizer, shared=shared)
    if choice.name == "chat-audio":
        from covo_cli.engines.remote_engine import build_audio_chat
        from model.endpoints.recalled_words import RecalledWords

        words = RecalledWords(whisper(settings, shared))
        chat = build_audio_chat(settings, words.of)
        return turn_taking(settings, chat, executor, words, shared=shared)
    return turn_taking(
        settings,
        lite_cascade(settings, tools, shared),
        executor,
        whisper(settings, shared),
        timers=tools.timers if tools is not None else None,
        shared=shared,
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
    shared: SharedModels | None = None,
) -> Engine:
    """Build the turn-taking engine around ``generator``, which must hear if ``recognizer`` is None.

    ``outlook``: the language model for the end of turns; None: as the settings say. ``timers``:
    those that ring in the conversation. ``shared``: what other conversations use as well.

    Raises: SettingsError, ModelError.
    """
    from model.hearing.languages import AUTO
    from model.lite.cascade import Cascade
    from model.turns.controller import TurnTakingEngine
    from model.turns.phrases import phrases_of

    language = settings.hearing.language
    if outlook is None and recognizer is not None:
        chat = generator.chat if isinstance(generator, Cascade) else None
        outlook = outlook_model(settings, chat)
    return TurnTakingEngine(
        generator,
        detector(settings),
        executor,
        turn_settings(settings),
        recognizer,
        phrases_of(ASSUMED_LANGUAGE) if recognizer is not None else None,
        end_of_turn_model(settings, shared),
        "" if language == AUTO else language,
        speaker_embedder(settings, shared),
        outlook,
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


def outlook_model(
    settings: Settings, chat: ChatModel | None = None, kind: type[SmolOutlook] | None = None
) -> SmolOutlook | None:
    """Return the language model for the end of turns, None if it is not wanted or reads other
    languages. Where ``chat`` is the same model, it is loaded once for both. ``kind``: its class.

    Raises: WeightsError.
    """
    from model.hearing.languages import AUTO
    from model.lite import CHAT_FILE
    from model.lite.chat import LlamaChat
    from model.lite.llama import LlamaModel
    from model.lite.outlook import SmolOutlook

    unread = settings.hearing.language not in (AUTO, *SmolOutlook.languages)
    if settings.turns.end_of_turn == "none" or unread:
        return None
    path = weight_store(settings).path("smollm2-135m", CHAT_FILE)
    shared = chat.model if isinstance(chat, LlamaChat) and chat.model.path == path else None
    return (kind or SmolOutlook)(shared or LlamaModel(path, pinned=True))
