"""What a reply of the network is made of, as it comes."""

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
    """More text, of whole characters."""

    text: str


@dataclass(frozen=True, slots=True)
class SpeechCodes:
    """The next speech codes, 25 a second, each from 0 to the codebook's size."""

    codes: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class TurnsDropped:
    """The oldest ``turns`` turns were forgotten for want of room, since the last reply that was
    remembered."""

    turns: int


@dataclass(frozen=True, slots=True)
class ReplyEnd:
    """The last part. Counts are tokens: ``prompt`` of the turn, ``computed`` in the prefill (more
    than that when something had to be computed again), ``text`` and ``codes`` of the reply.

    Times are seconds: ``hearing`` (encoder), ``prefill``, ``first`` token after that, ``whole``
    from the call to the end, in which the reader's own time is included.
    """

    reason: StopReason
    prompt: int
    computed: int
    text: int
    codes: int
    hearing: float
    prefill: float
    first: float
    whole: float


ReplyPart = TextDelta | SpeechCodes | TurnsDropped | ReplyEnd
