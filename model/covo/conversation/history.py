"""The conversation as data, and the decoder's cache kept in step with it.

A conversation is a list of segments: token ids, with embeddings of heard audio in the places of
their placeholders. :meth:`CacheFollower.follow` compares the segments with the cache, keeps their
common beginning and computes the rest. Cutting a reply, discarding a speculation, dropping old
turns and changing the system prompt are all this one operation.
"""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from dataclasses import dataclass, field
from typing import Protocol

import torch
from torch import Tensor

from model.covo.language.network import CovoNetwork


class Cache(Protocol):
    """The cache operations of a decoder."""

    @property
    def length(self) -> int:
        """Return the number of computed positions."""

    @property
    def capacity(self) -> int:
        """Return the maximum number of positions."""

    def append(self, embedded: Tensor) -> None:
        """Compute ``embedded`` (n, hidden) after the existing positions."""

    def rewind(self, length: int) -> None:
        """Forget everything from position ``length`` on."""


@dataclass(frozen=True, slots=True, eq=False)
class Segment:
    """A piece of a conversation. ``heard``: (rows, hidden), the embeddings for the placeholders in
    ``ids``; None if there are none."""

    ids: tuple[int, ...]
    heard: Tensor | None = field(default=None, repr=False)


@dataclass(frozen=True, slots=True)
class Exchange:
    """A turn and the heard part of its reply. ``number``: what it is forgotten by."""

    turn: Segment
    reply: tuple[int, ...]
    number: int = 0

    @property
    def length(self) -> int:
        """Return the number of tokens."""
        return len(self.turn.ids) + len(self.reply)


class CacheFollower:
    """Tracks a decoder's cache position by position. Not thread-safe.

    ``placeholder``: the id that stands for heard audio.
    """

    def __init__(self, network: CovoNetwork, cache: Cache, placeholder: int) -> None:
        self._network = network
        self._cache = cache
        self._placeholder = placeholder
        self._cached: list[Hashable] = []
        self._rows: list[Tensor] = []  # kept alive, so that no other tensor takes over an id()

    @property
    def length(self) -> int:
        """Return the number of positions in the cache."""
        return self._cache.length

    def follow(self, segments: Sequence[Segment]) -> int:
        """Make the cache contain exactly ``segments``; return the number of computed positions.

        The last position is always computed, because it gives the next token's logits. Raises:
        NetworkInputError when ids and heard rows do not match.
        """
        wanted = [key for segment in segments for key in self._keys(segment)]
        del self._cached[self._cache.length :]
        common = 0
        for have, want in zip(self._cached, wanted[:-1], strict=False):
            if have != want:
                break
            common += 1
        missing = self._embed(segments, common)
        self._cache.rewind(common)
        del self._cached[common:]
        self._cache.append(missing)
        self._cached = wanted
        self._rows = [segment.heard for segment in segments if segment.heard is not None]
        return len(missing)

    def note(self, token: int) -> None:
        """Record that the decoder has generated ``token`` and appended it."""
        self._cached.append(token)

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
        """Return the embeddings of ``segments`` from position ``start`` on."""
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
