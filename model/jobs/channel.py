"""A bounded channel between threads that either end can stop."""

from __future__ import annotations

import logging
import threading
from collections import deque
from collections.abc import Callable, Iterator
from typing import Generic, TypeVar

from audio_io.worker import Worker

T = TypeVar("T")
Cancelled = Callable[[], bool]
"""Tells work that nobody waits for it any more."""

CANCEL_POLL_S = 0.05
"""Seconds between two calls of ``cancelled`` while waiting; everything else wakes the waiter."""

log = logging.getLogger(__name__)


def never() -> bool:
    """A :data:`Cancelled` of work that somebody always waits for."""
    return False


class Channel(Generic[T]):
    """A queue of at most ``capacity`` items from any number of writers to one reader.

    Both ends stop soon after ``cancelled()`` becomes true, and at once after :meth:`close`.
    Only the last writer may call :meth:`end`.
    """

    def __init__(self, cancelled: Cancelled, capacity: int = 256) -> None:
        self._items: deque[T] = deque()
        self._capacity = capacity
        self._cancelled = cancelled
        self._changed = threading.Condition()
        self._closed = False
        self._ended = False
        self._error: BaseException | None = None

    @property
    def stopped(self) -> bool:
        """Whether the reader wants no more items."""
        return self._closed or self._cancelled()

    @property
    def finished(self) -> bool:
        """Whether :meth:`drain` has nothing more to return or raise."""
        with self._changed:
            over = self._ended and not self._items and self._error is None
        return over or self.stopped

    @property
    def waiting(self) -> tuple[T, ...]:
        """The items that are there and not read yet."""
        with self._changed:
            return tuple(self._items)

    def put(self, item: T) -> bool:
        """Add ``item``, waiting for room; return false when the channel has stopped."""
        with self._changed:
            while not self.stopped:
                if len(self._items) < self._capacity:
                    self._items.append(item)
                    self._changed.notify_all()
                    return True
                self._changed.wait(CANCEL_POLL_S)
        return False

    def end(self, error: BaseException | None = None) -> None:
        """Declare the last item put; after the items, the reader gets ``error`` raised."""
        with self._changed:
            self._error = error
            self._ended = True
            self._changed.notify_all()
        if error is not None and self.stopped:
            log.warning("failed after it was cancelled", exc_info=error)

    def close(self) -> None:
        """Stop the channel from the reader's end; items not read yet are dropped."""
        with self._changed:
            self._closed = True
            self._changed.notify_all()

    def drain(self) -> list[T]:
        """Return the items that are there now. Raises: the writer's error, after all items."""
        if self.stopped:
            return []
        with self._changed:
            items = list(self._items)
            self._items.clear()
            self._changed.notify_all()
            if items or not self._ended or self._error is None:
                return items
            error, self._error = self._error, None
        raise error

    def __iter__(self) -> Iterator[T]:
        """Yield the items as they come. Raises: the writer's error, after all items."""
        try:
            while True:
                with self._changed:
                    while not (self.stopped or self._items or self._ended):
                        self._changed.wait(CANCEL_POLL_S)
                    if self.stopped or not self._items:
                        break
                    item = self._items.popleft()
                    self._changed.notify_all()
                yield item
            if not self.stopped and self._error is not None:
                raise self._error
        finally:
            self.close()


def feed(channel: Channel[T], produce: Callable[[], None], name: str) -> threading.Thread:
    """Run :func:`filling` on a thread of its own."""
    worker = Worker(filling(channel, produce), name)
    worker.start()
    return worker


def filling(channel: Channel[T], produce: Callable[[], None]) -> Callable[[], None]:
    """Return work that runs ``produce`` and ends ``channel``, whose reader gets what was raised."""

    def fill() -> None:
        try:
            produce()
        except BaseException as error:  # noqa: BLE001 - raised again at the reader
            channel.end(error)
        else:
            channel.end()

    return fill
