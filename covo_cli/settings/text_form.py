"""The settings' texts of which not every one will do: languages, channels, devices, addresses."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from urllib.parse import urlsplit


@dataclass(frozen=True, slots=True)
class TextForm:
    """Texts that a setting can have, ``allowed`` in words: those that ``fits`` takes.

    ``meant`` returns what was meant by another text, or "". ``personal``: they may tell something
    of the user.
    """

    allowed: str
    fits: Callable[[str], bool]
    meant: Callable[[str], str] = lambda text: ""
    personal: bool = False


def _is_language(text: str) -> bool:
    from model.hearing.languages import AUTO, LANGUAGES

    return text in (AUTO, *LANGUAGES)


def _nearest_language(text: str) -> str:
    from model.hearing.languages import LANGUAGES

    codes = {name: code for code, name in LANGUAGES.items()}
    meant = codes.get(text.capitalize(), text.lower().partition("-")[0])
    return meant if meant in LANGUAGES else ""


def _are_channels(text: str) -> bool:
    if not text:
        return True
    from audio_io.channels import parse_channels
    from audio_io.errors import AudioError

    try:
        parse_channels(text)
    except AudioError:
        return False
    return True


def _is_device(text: str) -> bool:
    return re.fullmatch(r"auto|cpu|mps|cuda(:[0-9]+)?", text) is not None


def _is_guidance(text: str) -> bool:
    if text in ("", "off"):
        return True
    try:
        return 0 <= float(text) <= 10
    except ValueError:
        return False


def _is_address(text: str, *schemes: str) -> bool:
    try:
        parts = urlsplit(text)
        return not text or (parts.scheme in schemes and bool(parts.hostname) and parts.port != 0)
    except ValueError:
        return False


LANGUAGE = TextForm("auto or a code such as en, zh or de", _is_language, _nearest_language)
CHANNELS = TextForm("numbers from 1 on, such as 3 or 1,2", _are_channels)
DEVICE = TextForm("auto, cuda, cuda:1, mps or cpu", _is_device)
GUIDANCE = TextForm("off, or from 0 to 10", _is_guidance)
CHAT_ADDRESS = TextForm(
    "auto or an address such as http://localhost:11434/v1",
    lambda text: text == "auto" or _is_address(text, "http", "https"),
    personal=True,
)
SERVER_ADDRESS = TextForm(
    "an address such as ws://HOST:8765 or http://HOST:8091/v1",
    lambda text: _is_address(text, "ws", "wss", "http", "https"),
    personal=True,
)
