"""Weights that several engines share."""

from __future__ import annotations

import threading
import weakref
from collections.abc import Callable
from typing import Generic, TypeVar

from torch import nn

M = TypeVar("M", bound=nn.Module)


class SharedModule(Generic[M]):
    """A module that is loaded once for all who use it at a time, and freed with the last of them.

    Its users must not change it: what a conversation has of its own lies in caches and streams.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._held: Callable[[], M | None] = lambda: None

    def get(self, load: Callable[[], M]) -> M:
        """Return the module in use, else what ``load`` returns. Raises: what ``load`` raises."""
        with self._lock:
            module = self._held()
            if module is None:
                module = load()
                self._held = weakref.ref(module)
            return module
