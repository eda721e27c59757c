"""The key for a server, and who may see which."""

from __future__ import annotations

import os
from dataclasses import dataclass, field
from pathlib import Path

from model.errors import ChatError
from model.secrets import hide
from voices.folders import expanded

TOKEN_VARIABLE = "COVO_TOKEN"
OPENAI_VARIABLE = "OPENAI_API_KEY"


@dataclass(frozen=True, slots=True)
class ServerKey:
    """A key for a server, empty if there is none.

    ``place``: where it is from. ``remedy``: what to do where a server wants one.
    """

    key: str = field(default="", repr=False)
    place: str = ""
    remedy: str = f"set {OPENAI_VARIABLE}"

    def why_refused(self) -> str:
        """Complete "the server ..." after it answered 401 or 403."""
        return f"refused the key in {self.place}" if self.key else f"wants a key: {self.remedy}"


def openai_key() -> ServerKey:
    """Return the key of the environment for a chat endpoint. Raises: ChatError."""
    return _checked(os.environ.get(OPENAI_VARIABLE, ""), OPENAI_VARIABLE, f"set {OPENAI_VARIABLE}")


def find_key(host: str, token_file: str = "", *, encrypted: bool) -> ServerKey:
    """Return the key for the server at ``host``.

    COVO_TOKEN, else what ``token_file`` holds. OPENAI_API_KEY is for OpenAI's own host alone, and
    only if the connection is ``encrypted``. Raises: ChatError.
    """
    remedy = f"set {TOKEN_VARIABLE}, or name a file with --token-file"
    if token := os.environ.get(TOKEN_VARIABLE, "").strip():
        return _checked(token, TOKEN_VARIABLE, remedy)
    if token_file:
        found = _checked(_read(expanded(token_file)), token_file, remedy)
        hide(found.key)
        return found
    if is_openai(host) and encrypted:
        return openai_key()
    return ServerKey(remedy=remedy)


def is_openai(host: str) -> bool:
    """Whether ``host`` is OpenAI's own."""
    return host == "openai.com" or host.endswith(".openai.com")


def _read(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8")
    except UnicodeDecodeError as error:
        raise ChatError(f"the token file {path} is no text") from error
    except OSError as error:
        raise ChatError(f"the token file {path} cannot be read: {error.strerror}") from error


def _checked(text: str, place: str, remedy: str) -> ServerKey:
    """Raises: ChatError, without the key, if ``text`` cannot be one."""
    key = text.strip().strip("'\"")  # as some files of variables leave them
    if not (key.isascii() and key.isprintable()) or " " in key:
        raise ChatError(
            f"{place} is not a key: it has a space, a line break or another character that no key "
            "has; set it again"
        )
    return ServerKey(key, place, remedy)
