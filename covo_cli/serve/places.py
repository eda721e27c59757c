"""The places of a server: one conversation for each engine, and a short queue."""

from __future__ import annotations

import asyncio
import logging
from collections import deque
from collections.abc import Awaitable, Callable, Sequence

from model.engine import Engine

QUEUE = 4
"""Clients that may wait for a place."""

CLOSE_S = 5.0
"""A place whose conversation takes longer to end is closed until it does."""

log = logging.getLogger(__name__)


class ServerStopsError(Exception):
    """No more conversations begin."""


class Places:
    """Lends ``engines`` to one client each, in the order in which they come.

    For the event loop's thread only.
    """

    def __init__(self, engines: Sequence[Engine]) -> None:
        self._free = deque(engines)
        self._waiting: deque[asyncio.Future[Engine]] = deque()
        self._restoring: set[asyncio.Task[None]] = set()
        self.count = len(engines)
        """Engines that work."""
        self.busy = 0
        """Engines that hold a conversation, or are made ready for the next."""
        self.draining = False
        """Whether no more conversations begin, and each ends when nothing is being answered."""
        self._empty = asyncio.Event()

    @property
    def queued(self) -> int:
        """How many clients wait."""
        return len(self._waiting)

    @property
    def full(self) -> bool:
        """Whether the queue is full, too."""
        return self.draining or not self.count or (not self._free and len(self._waiting) >= QUEUE)

    async def enter(self, tell: Callable[[int], Awaitable[None]]) -> Engine:
        """Return a free engine, waiting for one. ``tell`` is awaited with the place in the queue
        whenever it changes. Raises: ServerStopsError."""
        if self.draining:
            raise ServerStopsError
        if self._free:
            self.busy += 1
            return self._free.popleft()
        mine: asyncio.Future[Engine] = asyncio.get_running_loop().create_future()
        self._waiting.append(mine)
        told = 0
        try:
            while not mine.done():
                position = self._waiting.index(mine) + 1
                if position != told:
                    told = position
                    await tell(position)
                await asyncio.wait([mine], timeout=0.2)
            return mine.result()
        except BaseException:
            if mine.done() and not mine.cancelled() and mine.exception() is None:
                self.leave(mine.result())  # it came too late
            raise
        finally:
            if mine in self._waiting:
                self._waiting.remove(mine)

    def leave(self, engine: Engine, over: asyncio.Event | None = None) -> None:
        """Give ``engine`` back; it forgets the conversation, and then is free.

        ``over`` is set when the conversation has left the engine; None: it has.
        """
        task = asyncio.get_running_loop().create_task(self._restore(engine, over))
        self._restoring.add(task)
        task.add_done_callback(self._restoring.discard)

    def drain(self) -> None:
        """Begin no more conversations, and let those that are held end."""
        self.draining = True
        for waiting in self._waiting:
            if not waiting.done():
                waiting.set_exception(ServerStopsError())

    async def emptied(self) -> None:
        """Return when no engine holds a conversation."""
        while self.busy:
            self._empty.clear()
            await self._empty.wait()

    async def _restore(self, engine: Engine, over: asyncio.Event | None) -> None:
        if over is not None:
            await self._ended(over)
        try:
            await asyncio.to_thread(engine.start_over)
        except Exception:
            self._close()
            log.exception("an engine could not begin anew; its place is closed")
            return
        while self._waiting:
            next_one = self._waiting.popleft()
            if not next_one.done():
                next_one.set_result(engine)
                return
        self._free.append(engine)
        self._vacate()

    async def _ended(self, over: asyncio.Event) -> None:
        """Wait for the end of a conversation; its place is closed while that takes too long."""
        try:
            async with asyncio.timeout(CLOSE_S):
                await over.wait()
        except TimeoutError:
            log.error("a conversation does not end; its place is closed until it does")
            self._close()
            await over.wait()
            log.info("the conversation has ended; its place is open again")
            self.busy += 1
            self.count += 1

    def _close(self) -> None:
        self.count -= 1
        self._vacate()

    def _vacate(self) -> None:
        self.busy -= 1
        self._empty.set()
