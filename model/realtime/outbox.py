"""What waits to be sent to a server, bounded."""

from __future__ import annotations

import threading
from collections import deque
from typing import Any

MOST_SOUND_S = 10.0
"""Longest sound that waits; then its oldest second is dropped."""
DROPPED_S = 1.0
_MOST_EVENTS = 1000


class Outbox:
    """Events in order, and pieces of sound between them, each ``piece_s`` seconds long."""

    def __init__(self, piece_s: float) -> None:
        self._items: deque[dict[str, Any] | bytes] = deque()
        self._most = round(MOST_SOUND_S / piece_s)
        self._dropped = round(DROPPED_S / piece_s)
        self._sounds = 0
        self._changed = threading.Condition()
        self._closed = False

    def put(self, event: dict[str, Any]) -> None:
        """Add an event; one too many is dropped."""
        with self._changed:
            if len(self._items) - self._sounds < _MOST_EVENTS:
                self._items.append(event)
                self._changed.notify()

    def put_sound(self, piece: bytes) -> int:
        """Add a piece of sound; return how many older ones had to go for it."""
        with self._changed:
            gone = 0
            if self._sounds >= self._most:
                kept: deque[dict[str, Any] | bytes] = deque()
                for item in self._items:
                    if isinstance(item, bytes) and gone < self._dropped:
                        gone += 1
                    else:
                        kept.append(item)
                self._items = kept
            self._items.append(piece)
            self._sounds += 1 - gone
            self._changed.notify()
            return gone

    def take(self) -> dict[str, Any] | bytes | None:
        """Return the next item as soon as there is one, None once it is closed."""
        with self._changed:
            while not (self._items or self._closed):
                self._changed.wait()
            if self._closed:
                return None
            item = self._items.popleft()
            self._sounds -= isinstance(item, bytes)
            return item

    def clear(self) -> None:
        """Drop all that waits."""
        with self._changed:
            self._items.clear()
            self._sounds = 0

    def close(self) -> None:
        """End :meth:`take`."""
        with self._changed:
            self._closed = True
            self._changed.notify_all()
