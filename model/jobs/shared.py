"""What several engines share."""

from __future__ import annotations

import threading
import weakref
from collections.abc import Callable
from typing import Generic, TypeVar

T = TypeVar("T")


class Shared(Generic[T]):
    """An object made once for all its simultaneous users, and freed with the last of them.

    Users of weights must not change them: what a conversation has of its own lies in caches and
    streams.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._held: Callable[[], T | None] = lambda: None

    def get(self, make: Callable[[], T]) -> T:
        """Return the object in use, else what ``make`` returns. Raises: what ``make`` raises."""
        with self._lock:
            held = self._held()
            if held is None:
                held = make()
                self._held = weakref.ref(held)
            return held
