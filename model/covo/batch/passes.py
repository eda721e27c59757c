"""Whose work goes into the next pass of a network that several threads share.

There is no thread of its own: whoever comes while no pass is under way leads. A leader takes all
steps that wait into one pass, computes it, and gives each thread its result. A prefill comes in
slices, which are a pass each; slices and steps take turns if both wait.

Threads that make steps come back soon. A leader therefore waits a moment for those that do, or two
of them would take turns for ever: each would come back while the other's pass is under way. It does
not wait for threads that rest; one that comes too late is not waited for until its next step.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Sequence
from typing import Generic, Protocol, TypeVar

from model.errors import ModelError

LINGER_S = 0.002
"""Time to wait for the others: longer than a thread takes from its logits to its next step."""

log = logging.getLogger(__name__)


class Work(Protocol):
    """What one thread has to compute. ``stream``: whose it is; ``joins``: whether it is a step,
    which others may share, and not a slice of a prefill."""

    @property
    def stream(self) -> int: ...

    @property
    def joins(self) -> bool: ...

    def alone(self) -> None:
        """Compute it in a pass of its own."""


class PassMark(Protocol):
    """Where the last pass ends on a device that computes beside the host."""

    def set(self) -> None:
        """Put the mark behind all that is queued."""

    def wait(self) -> None:
        """Wait until the device has come to the mark."""


W = TypeVar("W", bound=Work)


class _Request(Generic[W]):
    """A thread that waits for its ``work``."""

    def __init__(self, work: W) -> None:
        self.work = work
        self.done = False
        self.failure: BaseException | None = ModelError("a pass of the network was broken off")


class Passes(Generic[W]):
    """Gives threads their turns.

    ``together`` computes several steps in one pass. If it fails, each is computed alone, so an
    error reaches only the thread whose work it is; both must be repeatable. ``mark``: None if work
    is computed when it returns.
    """

    def __init__(
        self,
        together: Callable[[Sequence[W]], None],
        mark: PassMark | None = None,
        *,
        linger_s: float = LINGER_S,
    ) -> None:
        self._together = together
        self._mark = mark
        self._linger_s = linger_s
        self._changed = threading.Condition()
        self._waiting: list[_Request[W]] = []
        self._coming: set[int] = set()  # streams that make steps
        self._leading = False
        self._sliced = False  # whether the last pass was a slice

    def run(self, work: W) -> None:
        """Have ``work`` computed, by this thread or another. Raises: what it raises alone."""
        request = _Request(work)
        with self._changed:
            self._waiting.append(request)
            if work.joins:
                self._coming.add(work.stream)
            else:
                self._coming.discard(work.stream)
            self._changed.notify_all()
        while not self._served(request):
            self._lead(request)
        if request.failure is not None:
            self.rest(work.stream)
            raise request.failure

    def rest(self, stream: int) -> None:
        """Say that ``stream`` makes no steps for a while."""
        with self._changed:
            self._coming.discard(stream)
            self._changed.notify_all()

    def _served(self, request: _Request[W]) -> bool:
        """Wait for ``request`` to be done and return True, or return False as the leader."""
        with self._changed:
            self._changed.wait_for(lambda: request.done or not self._leading)
            if not request.done:
                self._leading = True
            return request.done

    def _lead(self, request: _Request[W]) -> None:
        """Compute one pass, whether or not ``request``, the leader's own, is part of it."""
        requests = [request]
        try:
            requests = self._next()
            self._compute(requests)
        finally:
            with self._changed:
                if request in self._waiting and request in requests:  # choosing failed
                    self._waiting.remove(request)
                for each in requests:
                    each.done = True
                self._leading = False
                self._changed.notify_all()

    def _next(self) -> list[_Request[W]]:
        """Return the requests of the next pass, which no longer wait."""
        with self._changed:
            slices = [request for request in self._waiting if not request.work.joins]
            if slices and (not self._sliced or len(slices) == len(self._waiting)):
                self._sliced = True
                chosen = slices[:1]
                if self._coming:  # or all slices would lie before their next step
                    self._until_idle()
            else:
                self._sliced = False
                self._await_others()
                chosen = [request for request in self._waiting if request.work.joins]
            for request in chosen:
                self._waiting.remove(request)
            return chosen

    def _await_others(self) -> None:
        if self._changed.wait_for(self._all_here, self._linger_s):
            return
        if self._mark is not None:
            # Their last step may still be under way.
            self._until_idle()
            self._changed.wait_for(self._all_here, self._linger_s)
        self._coming &= self._here()

    def _all_here(self) -> bool:
        return self._coming <= self._here()

    def _here(self) -> set[int]:
        return {request.work.stream for request in self._waiting}

    def _until_idle(self) -> None:
        """Wait for the device, while others may come."""
        if self._mark is None:
            return
        self._changed.release()
        try:
            self._mark.wait()
        finally:
            self._changed.acquire()

    def _compute(self, requests: Sequence[_Request[W]]) -> None:
        if len(requests) == 1 or not self._computed_together(requests):
            for request in requests:
                try:
                    request.work.alone()
                    request.failure = None
                except BaseException as error:  # noqa: BLE001 - raised by the thread that asked
                    request.failure = error
        if self._mark is not None:
            self._mark.set()

    def _computed_together(self, requests: Sequence[_Request[W]]) -> bool:
        try:
            self._together([request.work for request in requests])
        except Exception:
            log.exception("a joint pass failed; its %d steps are made alone", len(requests))
            return False
        for request in requests:
            request.failure = None
        return True
