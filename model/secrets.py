"""Keep keys and passwords out of what is shown, logged and recorded."""

from __future__ import annotations

import os
import re

_VARIABLES = ("OPENAI_API_KEY", "COVO_TOKEN", "HF_TOKEN", "HUGGING_FACE_HUB_TOKEN")
_told: set[str] = set()
"""Keys that came from elsewhere."""

SHORTEST_HIDDEN = 6
"""Characters of the shortest value that is hidden: hiding "none" would garble messages."""
_HIDDEN = "***"
_PATTERNS = (
    re.compile(r"(?<=://)[^/\s@?#'\"]+(?=@)"),  # user:password in an address
    re.compile(
        r"(?<=[?&])((?:[\w-]*(?:key|token|secret|signature|sig|password|auth)[\w-]*)=)[^&\s#'\"]+",
        re.IGNORECASE,
    ),
    re.compile(r"\b(Bearer\s+)(?!none\b)[^\s'\"\\]{6,}", re.IGNORECASE),
)


def hide(key: str) -> None:
    """Hide ``key``, which came from elsewhere than the environment, from now on."""
    if len(key) >= SHORTEST_HIDDEN:
        _told.add(key)


def without_secrets(text: str) -> str:
    """Return ``text`` with the keys of the environment, those in addresses, and those that
    :func:`hide` was told, hidden."""
    for name in _VARIABLES:
        for part in os.environ.get(name, "").split():
            if len(part) >= SHORTEST_HIDDEN:
                text = text.replace(part, _HIDDEN)
    for key in _told:
        text = text.replace(key, _HIDDEN)
    for pattern in _PATTERNS:
        text = pattern.sub(lambda found: "".join(found.groups()) + _HIDDEN, text)
    return text
