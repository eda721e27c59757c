"""A bounded way from one thread to another that can be cancelled from either end."""

from __future__ import annotations

import queue
import threading
from collections.abc import Callable, Iterator
from typing import Generic, TypeVar

T = TypeVar("T")
Cancelled = Callable[[], bool]

_GLANCE = 0.05
"""Seconds between two looks at ``cancelled`` while waiting."""


class Channel(Generic[T]):
    """Items from one thread to one other, ``capacity`` of which may wait; then :meth:`put` waits.
    Several threads may put, as long as one of them ends it after all others are done.

    Both ends stop soon after ``cancelled()`` becomes true or :meth:`close` is called.
    """

    def __init__(self, cancelled: Cancelled, capacity: int = 256) -> None:
        self._items: queue.Queue[T] = queue.Queue(capacity)
        self._cancelled = cancelled
        self._closed = threading.Event()
        self._ended = threading.Event()
        self._error: BaseException | None = None

    @property
    def stopped(self) -> bool:
        """Whether nobody wants more items."""
        return self._closed.is_set() or self._cancelled()

    def put(self, item: T) -> bool:
        """Hand over ``item``; false when nobody wants it any more."""
        while not self.stopped:
            try:
                self._items.put(item, timeout=_GLANCE)
            except queue.Full:
                continue
            return True
        return False

    def end(self, error: BaseException | None = None) -> None:
        """No item follows. The reader gets those that wait, and then ``error`` is raised there."""
        self._error = error
        self._ended.set()

    def close(self) -> None:
        """The reader wants no more."""
        self._closed.set()

    def __iter__(self) -> Iterator[T]:
        try:
            while not self.stopped:
                ended = self._ended.is_set()  # before looking: nothing is put after it
                try:
                    item = self._items.get(timeout=0 if ended else _GLANCE)
                except queue.Empty:
                    if ended:
                        break
                    continue
                yield item
            if not self.stopped and self._error is not None:
                raise self._error
        finally:
            self.close()


def feed(channel: Channel[T], produce: Callable[[], None], name: str) -> threading.Thread:
    """Run ``produce`` (which puts into ``channel``) on a daemon thread of its own.

    The channel ends when it returns; what it raises is raised where the channel is read.
    """

    def run() -> None:
        error: BaseException | None = None
        try:
            produce()
        except BaseException as raised:  # noqa: BLE001 - handed on to whoever reads
            error = raised
        finally:
            channel.end(error)

    thread = threading.Thread(target=run, name=f"covo-{name}", daemon=True)
    thread.start()
    return thread
