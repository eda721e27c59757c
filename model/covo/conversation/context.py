"""What the decoder's cache holds, and how it is brought to hold something else.

A conversation is plain data: segments of token ids, with the embeddings that were heard where the
ids are placeholders. The cache only repeats it. :meth:`Context.hold` compares the two, keeps the
part of the cache that both begin with, and computes the rest. Cutting a reply back, taking a
speculation back, dropping old turns and another system prompt are thus one and the same thing.
"""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from dataclasses import dataclass, field
from typing import Protocol

import torch
from torch import Tensor

from model.covo.language.network import CovoNetwork


class Cache(Protocol):
    """The part of a decoder that remembers."""

    @property
    def length(self) -> int:
        """Positions that are computed."""

    @property
    def capacity(self) -> int:
        """Positions that there is room for."""

    def append(self, embedded: Tensor) -> None:
        """Compute ``embedded`` (n, hidden) behind what is there."""

    def rewind(self, length: int) -> None:
        """Forget everything from position ``length`` on."""


@dataclass(frozen=True, slots=True, eq=False)
class Segment:
    """A piece of a conversation. ``heard``: (rows, hidden), what goes where ``ids`` has
    placeholders; None when it has none."""

    ids: tuple[int, ...]
    heard: Tensor | None = field(default=None, repr=False)


class Context:
    """What is in a decoder's cache, position by position. Used by one thread at a time.

    ``placeholder``: the id that stands for heard audio.
    """

    def __init__(self, network: CovoNetwork, cache: Cache, placeholder: int) -> None:
        self._network = network
        self._cache = cache
        self._placeholder = placeholder
        self._held: list[Hashable] = []
        self._rows: list[Tensor] = []  # kept alive, so that no other tensor gets one's identity

    @property
    def length(self) -> int:
        """Positions in the cache."""
        return self._cache.length

    def hold(self, segments: Sequence[Segment]) -> int:
        """Make the cache hold ``segments`` and nothing else; how many positions were computed.

        The last position is always computed, because the next token's logits are its.
        Raises: NetworkInputError when ids and heard rows do not go together.
        """
        wanted = [key for segment in segments for key in self._keys(segment)]
        del self._held[self._cache.length :]
        common = 0
        for have, want in zip(self._held, wanted[:-1], strict=False):
            if have != want:
                break
            common += 1
        missing = self._embed(segments, common)
        self._cache.rewind(common)
        del self._held[common:]
        self._cache.append(missing)
        self._held = wanted
        self._rows = [segment.heard for segment in segments if segment.heard is not None]
        return len(missing)

    def note(self, token: int) -> None:
        """The decoder has generated ``token`` behind what is there."""
        self._held.append(token)

    def _keys(self, segment: Segment) -> list[Hashable]:
        keys: list[Hashable] = []
        row = 0
        for index in segment.ids:
            if index == self._placeholder and segment.heard is not None:
                keys.append((id(segment.heard), row))
                row += 1
            else:
                keys.append(index)
        return keys

    def _embed(self, segments: Sequence[Segment], start: int) -> Tensor:
        """The embeddings of ``segments`` from position ``start`` on."""
        pieces: list[Tensor] = []
        for segment in segments:
            skipped = min(start, len(segment.ids))
            start -= skipped
            if skipped == len(segment.ids):
                continue
            ids, heard = segment.ids[skipped:], segment.heard
            if heard is not None:
                heard = heard[segment.ids[:skipped].count(self._placeholder) :]
                heard = heard if self._placeholder in ids else None
            pieces.append(self._network.embed(torch.tensor(ids), heard))
        return torch.cat(pieces)
