"""How errors reach the user: one line on stderr, a non-zero exit code, no traceback."""

from __future__ import annotations

import sys


class CliError(Exception):
    """Base of the errors that belong to the command line itself. The message says what to do."""


class SettingsError(CliError):
    """A setting is unknown, has a bad value, or the settings file cannot be read or written."""


class SessionError(CliError):
    """A recorded session is missing, broken or cannot be written."""


def is_expected(error: BaseException) -> bool:
    """Whether ``error`` was raised on purpose, by any of the rooms, with a message for the user.

    The rooms are looked up only if they were loaded: an error of theirs cannot exist otherwise.
    """
    roots: list[type[BaseException]] = [CliError]
    for module, name in (
        ("audio_io.errors", "AudioError"),
        ("model.errors", "ModelError"),
        ("voices.errors", "VoiceError"),
    ):
        if module in sys.modules:
            roots.append(getattr(sys.modules[module], name))
    return isinstance(error, tuple(roots))
