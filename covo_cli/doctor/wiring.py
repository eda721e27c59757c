"""Check covo's settings, engine, voice and weights."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from audio_io.vad import WebRtcVad
from covo_cli.doctor.check import Check, Status
from covo_cli.engines.covo_engine import covo_model, covo_voices
from covo_cli.engines.duplex_engine import duplex_model
from covo_cli.engines.engines import EngineChoice, check_heeded, choose_engine
from covo_cli.engines.model_choice import chat_file, recognizer_folder
from covo_cli.engines.own_tools import wanted_tools
from covo_cli.engines.persona import read_persona
from covo_cli.engines.remote_engine import build_audio_chat, build_realtime
from covo_cli.errors import CliError, SettingsError
from covo_cli.settings.settings import Settings, config_path
from covo_cli.welcome.found_servers import AUTO_URL, flags_for
from model.endpoints.openai_chat import OpenAIChat
from model.errors import ModelError
from model.lite import check_speaks
from model.lite.gguf import check_gguf
from model.secrets import without_secrets
from voices.errors import VoiceError
from voices.installation import install_again

if TYPE_CHECKING:
    from model.covo.loading.assemble import CovoModel
    from model.endpoints.local_servers import LocalServer
    from model.weights.packages import PieceStatus, WeightStore
    from voices.store import VoiceStore


def check_settings(load: Callable[[], Settings]) -> tuple[Check, Settings]:
    """Check the settings; return the defaults for the other checks if they are invalid."""
    try:
        settings = load()
    except SettingsError as error:
        fix = "correct it: covo config edit, or covo config unset KEY"
        return Check("settings", Status.FAILED, str(error), fix), Settings()
    path = config_path()
    used = str(path) if path.exists() else f"defaults (there is no {path})"
    return Check("settings", Status.OK, used), settings


def check_weights(statuses: Iterable[PieceStatus], unneeded: Mapping[str, str]) -> Iterator[Check]:
    """Check that each piece of the weights is there and intact.

    A fault in one of ``unneeded`` (name: why it is not needed) is a warning only.
    """
    for status in statuses:
        piece, name = status.piece, f"weights: {status.piece.name}"
        if status.state == "ready":
            yield Check(name, Status.OK, f"{piece.what}, {piece.size / 1e6:.0f} MB, verified")
            continue
        detail = f"{piece.what}: {status.state}, {status.problem}"
        fix = "covo models pull lite"
        if piece.module:
            fix = install_again(piece.packages[0].requirement)
        level = Status.FAILED
        if reason := unneeded.get(piece.name):
            level, detail = Status.WARNING, f"{detail} ({reason})"
        yield Check(name, level, detail, fix)


def unneeded_pieces(settings: Settings, synthesizer: str, engine: str) -> dict[str, str]:
    """Return the pieces of weights that these settings do not need, and why."""
    unneeded: dict[str, str] = {}
    chats = engine == "lite" and not (settings.chat.model or settings.chat.url)
    if settings.turns.end_of_turn == "none" and not chats:
        unneeded["smollm2-135m"] = "not needed: turns.end_of_turn is none"
    if engine != "lite" and not settings.covo.transcript:
        unneeded["whisper-base"] = "not needed: covo.transcript is off"
        unneeded["smollm2-135m"] = "not needed: covo.transcript is off"
    if settings.hearing.model:
        unneeded["whisper-base"] = f"not needed: hearing.model is {settings.hearing.model}"
    if synthesizer != "kokoro":
        wanting = f"voice {settings.voice.name}" if engine == "lite" else f"engine {engine}"
        unneeded["kokoro-82m"] = f"not needed by the {wanting}"
    if settings.audio.vad != "silero":
        unneeded["silero-vad"] = f"not needed: audio.vad is {settings.audio.vad}"
    if settings.turns.end_of_turn == "none":
        unneeded["smart-turn"] = "not needed: turns.end_of_turn is none"
    if not settings.turns.only_user:
        unneeded["campplus"] = "not needed: turns.only_user is off"
    if engine == "covo-fd":  # has its own way of taking turns
        unneeded["smollm2-135m"] = f"not needed by the engine {engine}"
        unneeded["smart-turn"] = f"not needed by the engine {engine}"
        unneeded["campplus"] = f"not needed by the engine {engine}"
        unneeded.setdefault("whisper-base", "without it, your words are not transcribed")
    return unneeded


def check_voice(store: VoiceStore, name: str, engine: str) -> tuple[Check, str]:
    """Check that the engine can use the voice; also return its synthesiser's name."""
    fix = "choose another: covo voices list, covo voices use NAME"
    try:
        pack = store.get(name)
        broken = store.broken()
    except VoiceError as error:
        return Check("voice", Status.FAILED, str(error), fix), ""
    synthesizer = pack.lite.synthesizer if pack.lite else ""
    if engine not in pack.engines:
        detail = f"{name} is a voice for {', '.join(pack.engines)}, not for {engine}"
        return Check("voice", Status.FAILED, detail, fix), synthesizer
    try:
        if pack.lite:
            check_speaks(name, pack.language)
    except ModelError as error:
        return Check("voice", Status.FAILED, str(error), fix), synthesizer
    if broken:
        detail = f"{name} works, but: {'; '.join(pack.problem for pack in broken)}"
        fix = "repair it or remove it: covo voices remove NAME"
        return Check("voice", Status.WARNING, detail, fix), synthesizer
    cost = f"; {pack.lite.cost}" if pack.lite else ""
    return Check("voice", Status.OK, f"{name} ({pack.description}{cost})"), synthesizer


def check_chat(settings: Settings) -> Iterator[Check]:
    """Check the files and the endpoint that the chat settings name; yield nothing where they name
    none. The endpoint is not asked."""
    chat = settings.chat
    readers: dict[str, tuple[str, Callable[[str], object]]] = {
        "model": ("" if chat.url else chat.model, lambda _: check_gguf(Path(chat_file(settings)))),
        "url": (chat.url if chat.url != AUTO_URL else "", lambda url: OpenAIChat(url, chat.model)),
        "persona": (chat.persona, read_persona),
    }
    for key, (name, read) in readers.items():
        if not name:
            continue
        try:
            read(name)
        except (SettingsError, ModelError) as error:
            fix = f"name another: covo config set chat.{key}"
            yield Check(f"chat {key}", Status.FAILED, str(error), fix)
        else:
            yield Check(f"chat {key}", Status.OK, without_secrets(name))


def check_tools(settings: Settings, engine: str) -> Iterator[Check]:
    """Check the tools without running any; yield nothing where they are off."""
    try:
        wanted = wanted_tools(settings, engine)
        if wanted is not None and not (settings.chat.model or settings.chat.url):
            raise SettingsError("the embedded chat model cannot use tools: name another one")
    except CliError as error:
        fix = "correct it, or talk without: covo config unset tools.enabled"
        yield Check("tools", Status.FAILED, str(error), fix)
        return
    if wanted is not None:
        names = (*(tool.name for tool in wanted.tools), *(one.name for one in wanted.servers))
        yield Check("tools", Status.OK, ", ".join(names))


def check_servers(servers: Sequence[LocalServer], *, wants_one: bool = False) -> Iterator[Check]:
    """Report servers of chat models that run on this machine, and how to use each.

    ``wants_one``: without one there is no conversation.
    """
    if wants_one and not servers:
        fix = "start one, or name another address: covo config set chat.url ADDRESS"
        yield Check("chat url", Status.FAILED, "auto finds no server on this machine", fix)
    for server in servers:
        more = f" and {len(server.models) - 1} more" if len(server.models) > 1 else ""
        use = f"to talk with it: covo chat {flags_for(server, server.models[0])}"
        yield Check(server.name, Status.OK, f"{server.models[0]}{more} at {server.url}", use)


def check_hearing(settings: Settings, weights: WeightStore) -> Iterator[Check]:
    """Check that the recogniser that the settings name is there; yield nothing for the embedded
    one, which is checked with its weights."""
    if not settings.hearing.model:
        return
    try:
        folder = recognizer_folder(settings, weights)
    except ModelError as error:
        fix = "name another: covo config set hearing.model NAME"
        yield Check("recogniser", Status.FAILED, str(error), fix)
    else:
        yield Check("recogniser", Status.OK, str(folder))


def check_engine(settings: Settings) -> tuple[Check, EngineChoice]:
    """Report which engine would answer and why, and whether it heeds the settings; also return the
    choice."""
    choice = choose_engine(settings)
    try:
        check_heeded(settings, choice)
    except SettingsError as error:
        return Check("engine", Status.FAILED, str(error), "correct it: covo config edit"), choice
    return Check("engine", Status.OK, f"{choice.name} ({choice.reason})"), choice


def check_covo(settings: Settings, model: CovoModel | None = None) -> Check:
    """Check everything the Covo-Audio engine needs, except the weights' values.

    ``model``: the one that choosing the engine has found already, if any.
    """
    try:
        model = model or covo_model(settings)
        name = "text only"
        if not settings.covo.text_only:
            name = f"voice {model.voice(covo_voices(settings), settings.covo.voice).name}"
    except (SettingsError, ModelError, VoiceError) as error:
        return Check("Covo-Audio", Status.FAILED, str(error), "see covo models info")
    where = f"{model.plan.total / 1e9:.1f} GB on {model.where}"
    return Check("Covo-Audio", Status.OK, f"{model.folder}: {model.precision}, {where}, {name}")


def check_remote(settings: Settings) -> Check:
    """Check the address and the key of a server that answers; the server is not asked."""
    try:
        if settings.engine.name == "realtime":
            description = build_realtime(settings, WebRtcVad()).info.description
        else:
            description = build_audio_chat(settings, lambda sound: "").info.description
    except (SettingsError, ModelError) as error:
        return Check("server", Status.FAILED, str(error), "correct it: covo config edit")
    return Check("server", Status.OK, description)


def check_duplex(settings: Settings) -> Check:
    """Check everything the full-duplex engine needs, except the weights' values."""
    try:
        info = duplex_model(settings).info
    except (SettingsError, ModelError, VoiceError) as error:
        fix = "choose another checkpoint: covo config set covo.model FOLDER"
        return Check("full duplex", Status.FAILED, str(error), fix)
    return Check("full duplex", Status.OK, info.description)
