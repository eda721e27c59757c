"""When the codes of a reply become sound: chunk by chunk, small ones first.

A chunk is made from three runs of codes: its past (``window``, given with their latents), its own,
and a few of its future (``look_ahead``), whose latents are thrown away and made again in the next
chunk. Its boundaries depend on nothing but the schedule, never on how the codes arrived.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import count

from model.errors import NetworkConfigError


@dataclass(frozen=True, slots=True)
class Chunk:
    """Codes ``begin`` to ``end`` of a reply, made while seeing those from ``past`` to ``ahead``."""

    past: int
    begin: int
    end: int
    ahead: int


@dataclass(frozen=True, slots=True)
class ChunkSchedule:
    """``sizes``: codes of the first, second ... chunk; the last size goes on. ``look_ahead`` and
    ``window`` in codes (25 per second). The defaults' reasons are in docs/streaming.md.

    Raises: NetworkConfigError for a size below 1, no sizes, a window below 1 (the start of a
    chunk's first code belongs to the latents before it) or a negative look-ahead.
    """

    sizes: tuple[int, ...] = (5, 10, 15, 25, 50)
    look_ahead: int = 3
    window: int = 75

    def __post_init__(self) -> None:
        if not self.sizes or min(self.sizes) < 1 or self.look_ahead < 0 or self.window < 1:
            raise NetworkConfigError(
                "a chunk schedule takes sizes and a window from 1 code on and a look-ahead from "
                f"0 on, not {self.sizes}, {self.window} and {self.look_ahead}"
            )

    def next_chunk(self, index: int, begin: int, received: int, *, last: bool) -> Chunk | None:
        """Chunk ``index``, which begins at code ``begin``, or None while it waits for codes.

        ``received``: codes so far; ``last``: no more will come, so what is left is the chunk.
        """
        end = begin + self.sizes[min(index, len(self.sizes) - 1)]
        ahead = end + self.look_ahead
        if ahead > received:
            if not last or begin == received:
                return None
            end = ahead = received
        return Chunk(max(0, begin - self.window), begin, end, ahead)

    def chunks(self, codes: int) -> Iterator[Chunk]:
        """All chunks of a reply of ``codes`` codes."""
        begin = 0
        for index in count():
            chunk = self.next_chunk(index, begin, codes, last=True)
            if chunk is None:
                return
            yield chunk
            begin = chunk.end
