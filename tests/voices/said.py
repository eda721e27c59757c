"""What the built-in voices really say, made once in a run, and who understands it."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from functools import cache
from pathlib import Path

import numpy as np
from filelock import FileLock

from audio_io.signal import Audio
from model.lite.recognizer import WhisperRecognizer
from model.lite.synthesizer import Synthesizer

EVERY_VOICE_SAYS = (
    "The quick brown fox jumps.",
    "It may rain this evening.",
    "We had bread and soup.",
)
"""Kokoro takes a second for each second of sound: these few and short ones serve every test of how
its voices sound."""


class Said:
    """Sounds by voice and text, kept in ``folder``; ``make`` returns the synthesiser of a voice."""

    def __init__(self, folder: Path, make: Callable[[str], Synthesizer]) -> None:
        self._folder = folder
        self._make = cache(make)

    def __call__(self, name: str, text: str) -> Audio:
        digest = hashlib.sha256(text.encode()).hexdigest()[:16]
        path = self._folder / f"{name}-{digest}.npy"
        self._folder.mkdir(exist_ok=True)
        # A lock for each voice: the worker that waits for a sound rarely has to load its voice.
        with FileLock(self._folder / f"{name}.lock"):
            if not path.exists():
                draft = path.with_suffix(".part.npy")
                np.save(draft, np.concatenate(list(self._make(name).stream(text))))
                draft.rename(path)
            return np.load(path)


@cache
def whisper(folder: Path) -> WhisperRecognizer:
    """The recogniser of the weights in ``folder``, loaded once in a worker: close it nowhere."""
    return WhisperRecognizer(folder, threads=1)
