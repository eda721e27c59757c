"""Keep keys and passwords out of what is shown, logged and recorded."""

from __future__ import annotations

import os
import re
from urllib.parse import quote, unquote

_VARIABLES = ("OPENAI_API_KEY", "COVO_TOKEN", "HF_TOKEN", "HUGGING_FACE_HUB_TOKEN")
_told: set[str] = set()
"""Keys that came from elsewhere."""

SHORTEST_HIDDEN = 6
"""Characters of the shortest value that is hidden: hiding "none" would garble messages."""
_HIDDEN = "***"
_USER = re.compile(
    r"(?<=://)(?:[^/\s?#'\"]+|[^/\s:'\"]+:(?!\d+[/?#])[^\s'\"]+)(?=@)|"
    r"(?<![\w/:])[\w.+-]+:[^\s/@'\"]+(?=@[\w[])"
)
"""User and password in an address, which may lack its scheme."""
_PARAMETER = re.compile(
    r"(?<=[?&#;])((?:[\w-]*(?:key|token|secret|signature|sig|password|credential|auth)[\w-]*)=)"
    r"[^&\s#;'\"]+",
    re.IGNORECASE,
)
_PATTERNS = (
    _USER,
    _PARAMETER,
    re.compile(
        r"((?:api[-_]?key|access[-_]?token|secret|passw(?:or)?d)['\"]?\s*[:=]\s*['\"]?)[^\s'\"&,;{}]{6,}",
        re.IGNORECASE,
    ),
    re.compile(r"\b(Basic\s+)(?=[A-Za-z+/]*[\d=])[A-Za-z\d+/]{8,}=*", re.IGNORECASE),
    re.compile(r"\b(Bearer\s+)(?!none\b)[^\s'\"\\]{6,}", re.IGNORECASE),
)


def hide(key: str) -> None:
    """Hide ``key``, which came from elsewhere than the environment, from now on."""
    if len(key) >= SHORTEST_HIDDEN:
        _told.add(key)


def hide_in(address: str) -> None:
    """Hide the keys and the password in ``address`` also where a server repeats them alone."""
    for user in _USER.findall(address):
        hide(user.partition(":")[2])
        hide(unquote(user.partition(":")[2]))
    for parameter in _PARAMETER.finditer(address):
        hide(unquote(parameter.group().partition("=")[2]))


def without_secrets(text: str) -> str:
    """Return ``text`` with the keys of the environment, those in addresses, and those that
    :func:`hide` was told, hidden."""
    for name in _VARIABLES:
        for word in os.environ.get(name, "").split():
            part = word.strip("'\"")
            if len(part) >= SHORTEST_HIDDEN:
                text = text.replace(part, _HIDDEN).replace(quote(part, safe=""), _HIDDEN)
    for key in _told:
        text = text.replace(key, _HIDDEN)
    for pattern in _PATTERNS:
        text = pattern.sub(lambda found: "".join(found.groups()) + _HIDDEN, text)
    return text
