"""The error of :mod:`voices`, and hints for misspelt words."""

from __future__ import annotations

import difflib
from collections.abc import Iterable


class VoiceError(Exception):
    """An unknown voice or broken pack; the message says what to do."""


def did_you_mean(word: str, known: Iterable[str]) -> str:
    """Suggest the word in ``known`` closest to ``word``, or return an empty string."""
    near = difflib.get_close_matches(word, list(known), n=1)
    return f"; did you mean {near[0]}?" if near else ""
