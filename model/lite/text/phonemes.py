"""Convert English text to the phonemes that both synthesisers read.

``mandarin.py`` adds Chinese and ``spanish`` Spanish. hibari's converter
writes the same 114 symbols, with the same numbers, that Kokoro was trained on.
"""

from __future__ import annotations

import json
import logging
import re
import threading
from collections.abc import Callable
from functools import cache
from pathlib import Path
from textwrap import wrap
from typing import Any

from model.errors import SynthesizerError
from model.lite.failures import raised_as
from model.lite.text.word_table import WordTable

LONGEST = 150
"""Phonemes in one piece, about 9 s. Kokoro takes 510, with 60 MB of memory for each second."""

_MEANS = re.compile(r"\w|[+=<>%&@#°√±×÷−]")
_PAUSE = re.compile(r"(?<=[,;:—.!?…])\s+")


log = logging.getLogger(__name__)


class Phonemizer:
    """Converts with the American or British lexicon, loaded on first use. Thread-safe."""

    language = "en"
    """Code of the language that it reads."""
    languages: tuple[str, ...] = ("en",)
    """All that it reads with their own sounds, ``language`` first."""

    def __init__(self, *, british: bool = False) -> None:
        self._british = british
        self._lock = threading.Lock()
        self._g2p: Any = None
        self._normalize: Callable[[str], str] = str

    @property
    def g2p(self) -> Any:
        """hibari's converter. Raises: SynthesizerError."""
        with self._lock:
            if self._g2p is None:
                with raised_as(SynthesizerError, "cannot load hibari-tts (install it again)"):
                    from hibari import g2p
                    from hibari.g2p.normalize import normalize

                    self._normalize = normalize
                    self._g2p = _compact(g2p.G2P(british=self._british))
            return self._g2p

    def pieces(self, text: str) -> list[str]:
        """Return ``text`` as pieces of at most 150 phonemes, split at pauses where it can be.

        Words, digits and signs without phonemes are logged. Raises: SynthesizerError.
        """
        phonemes, lost = self._phonemes(text)
        if lost:
            log.warning("no sounds for %r", " ".join(lost))
        pieces: list[str] = []
        current = ""
        for part in _PAUSE.split(phonemes):
            if current and len(current) + len(part) >= LONGEST:
                pieces.append(current)
                current = ""
            current = f"{current} {part}".strip()
        pieces.append(current)
        return [part for piece in pieces for part in wrap(piece, LONGEST, break_on_hyphens=False)]

    def numbers(self, phonemes: str) -> list[int]:
        """Return the model's number of each phoneme, skipping unknown ones.

        Raises: SynthesizerError.
        """
        known = _vocabulary()
        return [known[symbol] for symbol in phonemes if symbol in known]

    def _phonemes(self, text: str) -> tuple[str, list[str]]:
        """Return the phonemes of ``text``, and its words, digits and signs that have none."""
        convert = self.g2p
        with self._lock, raised_as(SynthesizerError, f"cannot pronounce {text!r}"):
            tokens = convert.phonemize_tokens(convert.tokenize(self._normalize(text)))
        phonemes = "".join(f"{t.phonemes or ''}{' ' if t.whitespace else ''}" for t in tokens)
        return phonemes, [t.text for t in tokens if not t.phonemes and _MEANS.search(t.text)]


@cache
def _vocabulary() -> dict[str, int]:
    """Return the model's number of each phoneme. Raises: SynthesizerError."""
    with raised_as(SynthesizerError, "cannot load hibari-tts (install it again)"):
        from hibari import g2p

        numbers: dict[str, int] = json.loads((Path(g2p.ASSETS) / "vocab.json").read_text("utf-8"))
        return numbers


def _compact(g2p: Any) -> Any:
    """Return hibari's converter with its 263,000 words and features in tables."""
    for words in (g2p.lexicon.golds, g2p.lexicon.silvers):
        words.d = WordTable(words.d)
    g2p.tagger.weights = WordTable(g2p.tagger.weights)
    return g2p
