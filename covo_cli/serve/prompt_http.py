"""HTTP connections that have to send a request in time: uvicorn waits for the first for ever."""

from __future__ import annotations

import asyncio

from uvicorn.protocols.http.h11_impl import H11Protocol

REQUEST_S = 10.0
"""Time that a connection has to send a whole request."""

MOST_SILENT = 100
"""Connections that may be without a request; the oldest is dropped for another."""


class PromptHttp(H11Protocol):
    """uvicorn's HTTP protocol, but a connection without a request is dropped."""

    _deadline: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """See :class:`asyncio.Protocol`."""
        super().connection_made(transport)
        silent = {
            other: other._deadline.when()
            for other in self.connections
            if isinstance(other, PromptHttp) and other._deadline is not None
        }
        if len(silent) >= MOST_SILENT:
            min(silent, key=silent.__getitem__)._drop()
        self._deadline = self.loop.call_later(REQUEST_S, self._drop)

    def data_received(self, data: bytes) -> None:
        """See :class:`asyncio.Protocol`."""
        super().data_received(data)
        answered = self.cycle is None or self.cycle.response_complete
        if not (answered and self in self.connections):  # a socket is no longer among them
            self._stop_waiting()
        elif self._deadline is None:
            self._deadline = self.loop.call_later(REQUEST_S, self._drop)

    def connection_lost(self, exc: Exception | None) -> None:
        """See :class:`asyncio.Protocol`."""
        self._stop_waiting()
        super().connection_lost(exc)

    def _drop(self) -> None:
        self._stop_waiting()
        self.transport.abort()

    def _stop_waiting(self) -> None:
        if self._deadline is not None:
            self._deadline.cancel()
            self._deadline = None
