"""The folders for covo's files: chosen by the user, or the platform's."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Literal

from covo_cli.errors import SettingsError


def chosen_place(text: str, setting: str) -> Path:
    """Return the path ``text``, the value of ``setting``, with the home folder for ``~``.

    Raises: SettingsError if there is no such home folder.
    """
    try:
        return Path(text).expanduser()
    except RuntimeError as error:
        raise SettingsError(f"{setting} cannot be {text}: there is no such home folder") from error


def place_in(variable: str) -> Path | None:
    """Return the path that an environment ``variable`` names, None if it names none.

    White space around it does not count, such as the CR that some files of variables leave.
    Raises: SettingsError as :func:`chosen_place`.
    """
    text = os.environ.get(variable, "").strip()
    return chosen_place(text, variable) if text else None


def usual_place(kind: Literal["data", "config", "log"]) -> Path:
    """Return the platform's folder for that kind of files. Raises: SettingsError without a home."""
    import platformdirs

    places = platformdirs.PlatformDirs("covo", appauthor=False)
    try:
        return Path(getattr(places, f"user_{kind}_path"))
    except RuntimeError as error:
        raise SettingsError(
            "there is no home folder: set HOME, or COVO_DATA_DIR and COVO_CONFIG"
        ) from error
