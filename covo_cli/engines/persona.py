"""The persona file: the user's description of the assistant."""

from __future__ import annotations

from covo_cli.errors import SettingsError
from covo_cli.process.whole_file import read_text
from voices.folders import expanded


def read_persona(name: str) -> str | None:
    """Read the persona file ``name``; None if ``name`` is empty. Raises: SettingsError."""
    if not name:
        return None
    path = expanded(name)
    try:
        text = read_text(path).strip()
    except UnicodeDecodeError as error:
        raise SettingsError(f"the persona file {path} is not a text file in UTF-8") from error
    except OSError as error:
        raise SettingsError(f"the persona file {path} cannot be read: {error.strerror}") from error
    if not text:
        raise SettingsError(f"the persona file {path} is empty; describe who the assistant is")
    return text
