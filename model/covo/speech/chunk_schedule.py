"""Schedule for synthesising a reply's codes: chunk by chunk, small ones first.

A chunk sees three runs of codes: its past (``window``, with their latents), its own, and a few of
its future (``look_ahead``), whose latents are discarded and made again in the next chunk. Only the
schedule decides its boundaries, not how the codes arrived.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import accumulate, count

from model.errors import NetworkConfigError


@dataclass(frozen=True, slots=True)
class Chunk:
    """Codes ``begin`` to ``end`` of a reply, made from those between ``past`` and ``ahead``."""

    past: int
    begin: int
    end: int
    ahead: int


@dataclass(frozen=True, slots=True)
class ChunkSchedule:
    """``sizes``: codes of the first, second ... chunk; the last size repeats. ``look_ahead`` and
    ``window`` are in codes (25 per second). docs/streaming.md explains the defaults.

    Raises: NetworkConfigError for no sizes, a size below 1, a window below 1 (a chunk's first code
    continues the latents before it) or a negative look-ahead.
    """

    sizes: tuple[int, ...] = (5, 10, 15, 25, 50)
    look_ahead: int = 3
    window: int = 75

    def __post_init__(self) -> None:
        if not self.sizes or min(self.sizes) < 1 or self.look_ahead < 0 or self.window < 1:
            raise NetworkConfigError(
                "a chunk schedule needs sizes and a window of at least 1 code, and a look-ahead of "
                f"at least 0, not {self.sizes}, {self.window} and {self.look_ahead}"
            )

    @property
    def settled(self) -> int:
        """Return the codes of a reply that has a chunk of every kind: those behind a whole window
        are alike."""
        begin, index = 0, 0
        while begin < self.window or index < len(self.sizes) - 1:
            begin, index = begin + self._size(index), index + 1
        return begin + self._size(index) + self.look_ahead

    def next_chunk(self, index: int, begin: int, received: int, *, last: bool) -> Chunk | None:
        """Return chunk ``index``, which begins at code ``begin``, or None if it lacks codes.

        ``received``: codes so far; ``last``: no more will come, so the rest is the chunk.
        """
        end = begin + self._size(index)
        ahead = end + self.look_ahead
        if ahead > received:
            if not last or begin == received:
                return None
            end = ahead = received
        return Chunk(max(0, begin - self.window), begin, end, ahead)

    def is_regular(self, index: int, chunk: Chunk) -> bool:
        """Return whether ``chunk`` is of the size that chunk ``index`` of a long reply has."""
        own, ahead = chunk.end - chunk.begin, chunk.ahead - chunk.end
        return (own, ahead) == (self._size(index), self.look_ahead)

    def padded(self, codes: int) -> int:
        """Return the codes to which the last chunk's ``codes`` can be padded, so that there are few
        sizes: those of the others, look-ahead included."""
        sizes = (size + self.look_ahead for size in self.sizes)
        return min((size for size in sizes if size >= codes), default=codes)

    def rehearsals(self) -> tuple[int, ...]:
        """Return the lengths of replies, in codes, that have a chunk of every kind, and a last one
        of every padded size, between them. The first size must fill the vocoder's past."""
        ends = accumulate(self.sizes)
        return (self.settled, *(end + self.look_ahead - 1 for end in ends))

    def chunks(self, codes: int) -> Iterator[Chunk]:
        """Yield all chunks of a reply of ``codes`` codes."""
        begin = 0
        for index in count():
            chunk = self.next_chunk(index, begin, codes, last=True)
            if chunk is None:
                return
            yield chunk
            begin = chunk.end

    def _size(self, index: int) -> int:
        return self.sizes[min(index, len(self.sizes) - 1)]
