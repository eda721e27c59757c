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
    from the call to the end, in which the reader's own time is included. A GPU is only given its
    work in the first two and does it beside them; what is not done by then is in ``first``.
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


ReplyPart = TextDelta | SpeechCodes | TurnsDropped | ReplyEnd
