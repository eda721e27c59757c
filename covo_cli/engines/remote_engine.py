"""Build the engines that are served elsewhere from the settings."""

from __future__ import annotations

import importlib.util
from collections.abc import Callable
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from covo_cli.engines.persona import read_persona
from covo_cli.errors import SettingsError
from covo_cli.settings.settings import Settings
from voices.installation import add_extra

if TYPE_CHECKING:
    from audio_io.signal import Audio, SpeechDetector
    from model.endpoints.audio_chat import AudioChat
    from model.realtime.engine import RealtimeEngine

OPENAI_VOICES = (
    *("alloy", "ash", "ballad", "coral", "echo", "sage", "shimmer", "verse", "marin", "cedar"),
)


def build_audio_chat(settings: Settings, words: Callable[[Audio], str]) -> AudioChat:
    """Build the reply generator behind chat completions; ``words`` returns a turn's.

    Raises: SettingsError, ChatError.
    """
    from model.endpoints.audio_chat import AudioChat
    from model.endpoints.server_key import find_key
    from model.lite.prompt import local_time

    remote, chat = settings.remote, settings.chat
    url = address(settings, "http://localhost:8091/v1")
    parts = urlsplit(url)
    return AudioChat(
        url,
        remote.model,
        words,
        key=find_key(parts.hostname or "", remote.token_file, encrypted=parts.scheme == "https"),
        voice=remote.voice,
        persona=read_persona(chat.persona) or "",
        max_tokens=chat.max_tokens,
        context=chat.context,
        timeout=chat.timeout,
        clock=local_time,
    )


def build_realtime(settings: Settings, detector: SpeechDetector) -> RealtimeEngine:
    """Build the engine that leaves the conversation to a server, without connecting.

    Raises: SettingsError, ModelError.
    """
    if importlib.util.find_spec("websockets") is None:
        raise SettingsError(f"the engine realtime needs websockets: {add_extra('realtime')}")
    from model.endpoints.server_key import find_key
    from model.realtime.address import server_address
    from model.realtime.engine import RealtimeEngine

    remote = settings.remote
    there = server_address(address(settings, "ws://localhost:8000/v1/realtime"), remote.model)
    return RealtimeEngine(
        there,
        find_key(there.name, remote.token_file, encrypted=there.encrypted),
        detector,
        voice=remote.voice,
        instructions=read_persona(settings.chat.persona) or "",
    )


def address(settings: Settings, example: str) -> str:
    """Return the server's address. Raises: SettingsError if there is none."""
    if not settings.remote.url:
        raise SettingsError(
            f"the engine {settings.engine.name} needs the server's address: --url {example}"
        )
    return settings.remote.url


def remote_voices(settings: Settings) -> tuple[str, ...]:
    """Return the voices that the server is known to have, and the chosen one.

    Raises: SettingsError, ModelError.
    """
    from model.endpoints.server_key import find_key, is_openai

    remote, known = settings.remote, tuple[str, ...]()
    if is_openai(urlsplit(remote.url).hostname or ""):
        known = OPENAI_VOICES
    elif settings.engine.name == "realtime":
        from model.realtime.address import served_voices, server_address

        there = server_address(remote.url)
        key = find_key(there.name, remote.token_file, encrypted=there.encrypted)
        known = served_voices(there, key)
    chosen = settings.remote.voice
    return known if chosen in ("", *known) else (chosen, *known)
