"""Choose the models of the hub that write replies and that hear, and find their files."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from covo_cli.errors import CliError
from covo_cli.settings.sections import NETWORK
from covo_cli.settings.settings import (
    Settings,
    SettingSource,
    load_settings,
    models_dir,
    save_setting,
    unset_setting,
    voices_dir,
)
from model.weights.hub.source import HubModel, ModelUse, hub_models
from model.weights.hub.store import ModelStatus, find_chat_file, find_model
from model.weights.packages import WeightStore

LITE_MEMORY = 1_200_000_000
"""Bytes of memory that the embedded engine can need with its own chat model."""

CHOSEN_BY = {ModelUse.CHAT: "chat.model", ModelUse.HEARING: "hearing.model"}
"""The setting that names the model, by what the model is for."""
_USERS = {ModelUse.CHAT: "lite uses", ModelUse.HEARING: "Your words are recognised by"}


def chat_memory(size: int) -> int:
    """Return the bytes of memory that a chat model of ``size`` bytes takes, roughly.

    The weights, and for its context and its work a quarter of them and 300 MB: 4096 tokens of
    Qwen3-4B take 0.6 GB, those of Qwen2.5-1.5B 0.1.
    """
    return size + size // 4 + 300_000_000


def chat_file(settings: Settings) -> str:
    """Return ``chat.model``: a file of the user's own or of a pulled model, or an endpoint's name.

    Raises: WeightsError, with the remedy, when the model is missing or incomplete.
    """
    chat = settings.chat
    if not chat.model or chat.url:
        return chat.model
    return str(find_chat_file(chat.model, models_dir(settings)))


def needed_pieces(settings: Settings) -> frozenset[str]:
    """Return the pieces of the embedded weights that a conversation uses; ``auto`` means ``lite``.

    Raises: VoiceError.
    """
    from model.hearing.languages import AUTO
    from model.lite.outlook import SmolOutlook
    from voices.store import VoiceStore

    engine, turns, chat = settings.engine.name, settings.turns, settings.chat
    needed = {"silero-vad"} if settings.audio.vad == "silero" else set[str]()
    if engine == "realtime":
        return frozenset(needed)
    words = engine not in NETWORK or settings.covo.transcript
    if words and not settings.hearing.model:
        needed.add("whisper-base")
    if engine == "covo-fd":
        return frozenset(needed)
    if turns.only_user:
        needed.add("campplus")
    if turns.end_of_turn == "models":
        needed.add("smart-turn")
        if words and settings.hearing.language in (AUTO, *SmolOutlook.languages):
            needed.add("smollm2-135m")
    if engine in ("auto", "lite"):
        needed.add("hibari")
        if not (chat.model or chat.url):
            needed.add("smollm2-135m")
        voice = VoiceStore(voices_dir()).get(settings.voice.name).lite
        if voice is not None and voice.synthesizer == "kokoro":
            needed.add("kokoro-82m")
    return frozenset(needed)


def recognizer_folder(settings: Settings, weights: WeightStore) -> Path:
    """Return the folder of ``hearing.model``, or that of the embedded recogniser.

    Raises: WeightsError, with the remedy, when it is missing or incomplete.
    """
    name = settings.hearing.model
    if not name:
        return weights.whole("whisper-base")
    return find_model(name, models_dir(settings), ModelUse.HEARING)


def choose_pulled(status: ModelStatus, free: int) -> Iterator[str]:
    """Let lite use a chat model that was pulled if it fits ``free`` bytes of memory.

    Yields what was done, and how to change it or use another kind of model. Raises:
    SettingsError.
    """
    name, settings = status.model.name, load_settings()
    anyway = f"`covo models use {name}`"
    if status.model.use is ModelUse.HEARING:
        yield f"Hear with it: {anyway}, or covo chat --recognizer {name} once"
    if status.model.use is not ModelUse.CHAT:
        return
    need = chat_memory(status.size) + LITE_MEMORY
    chosen = settings.chat.model
    if settings.chat.url:
        yield f"chat.url is set, so it is not used yet: `covo config unset chat.url`, then {anyway}"
    elif chosen and chosen not in _names(ModelUse.CHAT):
        yield f"lite goes on with {chosen} (chat.model); {anyway} changes that"
    elif need > free:
        yield (
            f"It is not used yet: with the rest of lite it needs about {need / 1e9:.1f} GB of "
            f"memory, and {free / 1e9:.1f} GB are free; {anyway} uses it anyway"
        )
    else:
        yield from use_model(status.model)


def use_model(model: HubModel) -> Iterator[str]:
    """Use ``model`` from now on; yield what was done. Raises: SettingsError, CliError."""
    if model.use not in CHOSEN_BY:
        raise CliError(f"{model.name} is a model of its own engine: covo chat --engine covo")
    key = CHOSEN_BY[model.use]
    if model.use is ModelUse.CHAT and load_settings().chat.url:
        raise CliError(
            "chat.url is set, and that server's model answers: `covo config unset chat.url` first"
        )
    file = save_setting(key, model.name)
    yield f"{_USERS[model.use]} {model.name} ({key} in {file}); `covo models use lite` goes back"


def use_embedded() -> Iterator[str]:
    """Use the embedded models again, but for a chat model at an address; yield what was done.

    Raises: SettingsError.
    """
    url = load_settings().chat.url
    for use, key in CHOSEN_BY.items():
        if _in_file(key) and not (use is ModelUse.CHAT and url):
            unset_setting(key)
            yield f"{key} is no longer set"
    if url:
        yield f"the model at {url} (chat.url) still answers; the other models are the embedded ones"
    else:
        yield "the embedded models are in use"


def in_use(model: HubModel, settings: Settings) -> bool:
    """Return whether the settings choose ``model`` for ``lite``."""
    key = CHOSEN_BY.get(model.use)
    if key is None or (model.use is ModelUse.CHAT and settings.chat.url):
        return False
    return bool(settings.value(key) == model.name)


def forget_model(model: HubModel) -> Iterator[str]:
    """Go back to the embedded model if ``model`` was in use, which is removed; yield what was done.

    Raises: SettingsError.
    """
    key = CHOSEN_BY.get(model.use, "")
    if key and _in_file(key) and in_use(model, load_settings()):
        unset_setting(key)
        yield f"{_USERS[model.use]} the embedded one again: {key} is no longer set"


def _in_file(key: str) -> bool:
    return load_settings().origins[key].source is SettingSource.FILE


def _names(use: ModelUse) -> tuple[str, ...]:
    return tuple(model.name for model in hub_models() if model.use is use)
