"""The models that give evidence about the end of a turn."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

from audio_io.signal import Audio


class EndOfTurnModel(Protocol):
    """Judges from the sound whether a speaker is done."""

    @property
    def name(self) -> str:
        """The model's name, for the user."""

    def load(self) -> None:
        """Make it ready. Raises: EndOfTurnError."""

    def probability(self, audio: Audio) -> float:
        """Return the probability in [0, 1] that the turn is over with ``audio`` (float32 mono
        16 kHz: the turn so far and the silence after it). Thread-safe. Raises: EndOfTurnError."""

    def close(self) -> None:
        """Free the memory. Safe to call twice."""


@dataclass(frozen=True, slots=True)
class Outlook:
    """How a message is expected to go on after some words. Natural logarithms of probabilities.

    ``ends``: its sentence ends with them. ``pauses``: a comma, a dash or dots follow. ``goes_on``:
    the likeliest word that would follow. ``closes``: with their sentence, the message ends.
    """

    ends: float
    pauses: float
    goes_on: float
    closes: float


class OutlookModel(Protocol):
    """Judges from the words whether a message is complete."""

    @property
    def name(self) -> str:
        """The model's name, for the user."""

    @property
    def languages(self) -> frozenset[str]:
        """Codes of the languages it reads."""

    def load(self) -> None:
        """Make it ready. Raises: EndOfTurnError."""

    def read_ahead(self, words: str, before: str) -> None:
        """Read what :meth:`outlook` will be asked about, perhaps with more words, so that it has
        less to read. Thread-safe. Raises: EndOfTurnError."""

    def outlook(self, words: str, before: str) -> Outlook:
        """Return the outlook of a message that so far has these ``words``; ``before``: what it
        answers, or empty. Thread-safe. Raises: EndOfTurnError."""

    def close(self) -> None:
        """Free the memory. Safe to call twice."""
