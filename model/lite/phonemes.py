"""From English text to phonemes, as both synthesisers read them.

hibari's grapheme-to-phoneme converter writes the same 114 symbols that Kokoro was trained on, with
the same numbers, so neither needs another one.
"""

from __future__ import annotations

import json
import re
import threading
from pathlib import Path
from typing import Any

from model.errors import SynthesizerError
from model.lite.failures import raised_as

LONGEST = 400
"""Phonemes in one piece; Kokoro takes 510."""

_PAUSE = re.compile(r"(?<=[,;:—.!?…])\s+")


class Phonemizer:
    """``british`` chooses the British lexicon. Loads on first use. Thread-safe."""

    def __init__(self, *, british: bool = False) -> None:
        self._british = british
        self._lock = threading.Lock()
        self._g2p: Any = None
        self._numbers: dict[str, int] = {}

    @property
    def g2p(self) -> Any:
        """hibari's converter. Raises: SynthesizerError."""
        with self._lock:
            if self._g2p is None:
                with raised_as(
                    SynthesizerError, "hibari-tts could not be loaded (install it again)"
                ):
                    from hibari import g2p

                    vocabulary = Path(g2p.ASSETS) / "vocab.json"
                    self._numbers = json.loads(vocabulary.read_text("utf-8"))
                    self._g2p = g2p.G2P(british=self._british)
            return self._g2p

    def pieces(self, text: str) -> list[str]:
        """The phonemes of ``text``, in pieces of at most 400, divided at pauses where possible.

        Raises: SynthesizerError.
        """
        convert = self.g2p
        with self._lock, raised_as(SynthesizerError, f"{text!r} could not be pronounced"):
            phonemes = convert(text)
        pieces: list[str] = []
        current = ""
        for part in _PAUSE.split(phonemes):
            if current and len(current) + len(part) >= LONGEST:
                pieces.append(current)
                current = ""
            current = f"{current} {part}".strip()
        pieces.append(current)
        return [p[i : i + LONGEST] for p in pieces for i in range(0, len(p), LONGEST)]

    def numbers(self, phonemes: str) -> list[int]:
        """The model's number of each phoneme; unknown ones are left out."""
        return [self._numbers[symbol] for symbol in phonemes if symbol in self._numbers]
