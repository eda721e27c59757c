"""The connection to a realtime server, kept: threads that read and send, and connect anew."""

from __future__ import annotations

import json
import logging
import queue
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

from audio_io.worker import Worker, details_hint, join_all
from model.engine import Progress
from model.errors import RemoteError
from model.jobs.executor import CLOSE_S
from model.realtime import wire
from model.realtime.dialling import OpenSession, closing, read_event
from model.realtime.outbox import Outbox
from model.realtime.wire import WireEvent

FIRST_DELAY_S, LONGEST_DELAY_S = 0.5, 8.0
"""Pauses between attempts to connect anew double from the first to the longest."""
_MOST_WAITING = 2000
"""Events that wait to be read; then the server waits."""
_AT_ONCE = 200
"""Events that one frame takes in at most."""

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class LinkLost:
    """The connection was lost, or could not be made anew, for ``reason``."""

    reason: str


@dataclass(frozen=True, slots=True)
class LinkRestored:
    """A new session has begun."""

    session: WireEvent


LinkNews = WireEvent | LinkLost | LinkRestored


class ServerLink:
    """A session at a server. ``dial`` begins one; :meth:`open` does so for the first time."""

    def __init__(
        self,
        dial: Callable[[Progress], OpenSession],
        outbox: Outbox,
        *,
        first_delay_s: float = FIRST_DELAY_S,
    ) -> None:
        self._dial = dial
        self._outbox = outbox
        self._first_delay_s = first_delay_s
        self._inbox: queue.Queue[LinkNews] = queue.Queue(_MOST_WAITING)
        self._opened: OpenSession | None = None
        self._threads: list[Worker] = []
        self._closed = threading.Event()

    def open(self, progress: Progress) -> WireEvent:
        """Begin the first session and return it as it was told. Raises: RemoteError."""
        opened = self._opened = self._dial(progress)
        for event in opened.early:
            self._receive(event)
        self._threads = [
            Worker(lambda: self._read(opened), "server-in"),
            Worker(self._send, "server-out"),
        ]
        for thread in self._threads:
            thread.start()
        return opened.session

    def news(self) -> Iterator[LinkNews]:
        """Yield what came since the last call. Raises: RemoteError if a thread failed."""
        if failed := next((thread for thread in self._threads if thread.dead), None):
            message = f"internal error in {failed.name}{details_hint()}"
            raise RemoteError(message) from failed.failure
        for _ in range(_AT_ONCE):
            try:
                yield self._inbox.get_nowait()
            except queue.Empty:
                return

    def close(self) -> None:
        """End the session, in bounded time. Safe to call twice."""
        self._closed.set()
        self._outbox.close()
        threads = list(self._threads)
        if (opened := self._opened) is not None:
            # A server that does not read could hold this up.
            threads.append(Worker(opened.connection.close, "server-close"))
            threads[-1].start()
        self._opened = None
        join_all(threads, CLOSE_S)

    def _read(self, opened: OpenSession | None) -> None:
        while opened is not None and not self._closed.is_set():
            reason = self._read_session(opened)
            self._opened = None
            if self._closed.is_set():
                return
            log.warning("the connection was lost: %s", reason)
            self._receive(LinkLost(reason))
            opened = self._restore(reason)

    def _read_session(self, opened: OpenSession) -> str:
        """Read events until the connection is over; return why it is."""
        from websockets.exceptions import ConnectionClosed

        try:
            while True:
                event = read_event(opened.connection.recv())
                if not self._receive(event):
                    return "closed"
        except ConnectionClosed as error:
            return closing(error)
        except ValueError:
            opened.connection.close()
            return "it sent no JSON"

    def _restore(self, told: str) -> OpenSession | None:
        delay = self._first_delay_s
        while not self._closed.wait(delay):
            delay = min(delay * 2, LONGEST_DELAY_S)
            try:
                opened = self._dial(lambda stage: None)
            except RemoteError as error:
                if str(error) != told:
                    told = str(error)
                    self._receive(LinkLost(told))
                continue
            self._outbox.clear()  # of the time without a session
            self._opened = opened
            self._receive(LinkRestored(opened.session))
            for event in opened.early:
                self._receive(event)
            return opened
        return None

    def _send(self) -> None:
        from websockets.exceptions import ConnectionClosed

        while (item := self._outbox.take()) is not None:
            event: dict[str, Any] = wire.append(item) if isinstance(item, bytes) else item
            opened = self._opened
            if opened is None:
                continue
            try:
                opened.connection.send(json.dumps(event))
            except (ConnectionClosed, OSError) as error:
                log.debug("%s was not sent: %s", event["type"], error)

    def _receive(self, news: LinkNews) -> bool:
        """Hand ``news`` to the conversation, waiting for room; return false once it is closed."""
        while not self._closed.is_set():
            try:
                self._inbox.put(news, timeout=CLOSE_S)
            except queue.Full:
                continue
            return True
        return False
