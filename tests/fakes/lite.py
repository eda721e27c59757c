"""The parts of the embedded engine's cascade, made up: a chat model and a synthesiser."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import numpy as np

from audio_io.signal import Audio
from model.engine import Progress
from model.lite.chat import Message
from model.lite.kokoro.head_start import HeadStart
from model.lite.synthesizer import SpokenPiece

PER_LETTER = 100
"""Samples that the made-up voice takes for a character of a clause."""


class FakeChat:
    """Writes ``text`` word by word; ``error`` after ``error_after`` words; waits for ``gate``
    before word ``gate_before``."""

    name = "fake chat"
    context = 2000

    def __init__(self, text: str) -> None:
        self.text = text
        self.error: Exception | None = None
        self.error_after = 0
        self.gate = threading.Event()
        self.gate_before = -1
        self.asked: list[list[Message]] = []
        self.prepared: list[list[Message]] = []
        self.stopped = threading.Event()
        self.closed = 0

    def load(self, progress: Progress = lambda stage: None) -> None:
        """Nothing to load."""

    def prepare(self, messages: Sequence[Message]) -> None:
        self.prepared.append(list(messages))

    def stream(self, messages: Sequence[Message], cancelled: Callable[[], bool]) -> Iterator[str]:
        self.asked.append(list(messages))
        try:
            for i, word in enumerate(self.text.split(" ")):
                while i == self.gate_before and not self.gate.wait(0.01):
                    if cancelled():
                        return
                if self.error and i == self.error_after:
                    raise self.error
                yield word if i == 0 else f" {word}"
        finally:
            self.stopped.set()

    def close(self) -> None:
        self.closed += 1


class FakeSynthesizer:
    """100 samples of the value ``level`` for each character, a clause ``in_pieces``."""

    name = "fake voice"
    language = "en"
    languages: tuple[str, ...] = ("en",)
    pace = None

    def __init__(self, level: float = 0.5) -> None:
        self.level = level
        self.in_pieces = 1
        self.error: Exception | None = None
        self.said: list[str] = []

    def load(self) -> None:
        if self.error:
            raise self.error

    def say(self, clause: str) -> Audio:
        return np.concatenate([piece.samples for piece in self.alone(clause)])

    def alone(self, clause: str) -> Iterator[SpokenPiece]:
        return self.pieces(clause, HeadStart())

    def pieces(self, clause: str, start: HeadStart[Any]) -> Iterator[SpokenPiece]:
        self.said.append(clause)
        if self.error:
            raise self.error
        samples = np.full(len(clause) * PER_LETTER, self.level, np.float32)
        for number, sound in enumerate(np.array_split(samples, self.in_pieces), 1):
            yield SpokenPiece(sound, number / self.in_pieces)

    def stream(self, text: str) -> Iterator[Audio]:
        yield self.say(text)

    def close(self) -> None:
        self.said.append("(closed)")
