"""The error of :mod:`voices`, and the hint that goes with a misspelt word."""

from __future__ import annotations

import difflib
from collections.abc import Iterable


class VoiceError(Exception):
    """A voice is unknown, or its pack is broken. The message says what to do."""


def did_you_mean(word: str, known: Iterable[str]) -> str:
    """Return a hint at the word of ``known`` closest to ``word``, or an empty string."""
    near = difflib.get_close_matches(word, list(known), n=1)
    return f"; did you mean {near[0]}?" if near else ""
