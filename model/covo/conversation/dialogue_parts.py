"""The parts of the network's reply, in the order in which they come."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum


class StopReason(StrEnum):
    """Why a reply ended."""

    END = "end"
    LIMIT = "limit"
    CANCELLED = "cancelled"
    CONTEXT = "context"


@dataclass(frozen=True, slots=True)
class TextDelta:
    """More text, in whole characters."""

    text: str


@dataclass(frozen=True, slots=True)
class SpeechCodes:
    """The next speech codes, 25 a second."""

    codes: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class TurnsDropped:
    """The oldest ``turns`` turns were dropped for lack of room since the last remembered reply."""

    turns: int


@dataclass(frozen=True, slots=True)
class ReplyEnd:
    """The last part.

    Tokens: ``prompt`` of the turn, ``computed`` in the prefill (more than the prompt when something
    had to be computed again), ``text`` and ``codes`` of the reply.

    Seconds: ``hearing`` (encoder), ``prefill``, ``first`` token after that, and ``whole`` from the
    call to the end, the consumer's time included. On a GPU the first two only launch the work;
    whatever is left of it counts towards ``first``.
    """

    reason: StopReason
    prompt: int
    computed: int = 0
    text: int = 0
    codes: int = 0
    hearing: float = 0.0
    prefill: float = 0.0
    first: float = 0.0
    whole: float = 0.0


DialoguePart = TextDelta | SpeechCodes | TurnsDropped | ReplyEnd
