"""A thread that makes calls in order, for work that is bound to one thread.

Libraries keep state for each thread: cuBLAS and cuDNN their handles, cuDNN also its plans of
convolutions. Work on a thread that outlives it finds that state made.
"""

from __future__ import annotations

import threading
import weakref
from collections.abc import Callable
from concurrent.futures import Future
from functools import partial
from queue import SimpleQueue
from typing import TypeVar

from audio_io.worker import Worker
from model.errors import ModelError

T = TypeVar("T")
_Calls = SimpleQueue[Callable[[], object] | None]


class Lane:
    """Makes calls one after the other, always on the same daemon thread ``covo-NAME``.

    Any thread may use it. Its thread starts with the first call, and ends with the lane or after
    :meth:`end`.
    """

    def __init__(self, name: str) -> None:
        self._name = name
        self._calls: _Calls = SimpleQueue()
        self._lock = threading.Lock()
        self._thread: Worker | None = None
        self._ended = False

    def submit(self, call: Callable[[], object]) -> bool:
        """Queue ``call``, which must not raise; return false, and drop it, once the lane ended."""
        with self._lock:
            if self._ended:
                return False
            if self._thread is None:
                self._thread = Worker(partial(_make, self._calls), self._name)
                self._thread.start()
                weakref.finalize(self, self._calls.put, None)
            self._calls.put(call)
            return True

    def run(self, work: Callable[[], T]) -> T:
        """Return what ``work`` returns on the thread. Raises: what it raises; ModelError once the
        lane has ended."""
        future: Future[T] = Future()

        def call() -> None:
            try:
                future.set_result(work())
            except BaseException as error:  # noqa: BLE001 - raised in the caller's thread
                future.set_exception(error)

        if not self.submit(call):
            raise ModelError(f"the thread {self._name} has ended: it was closed")
        return future.result()

    def end(self) -> list[threading.Thread]:
        """Take no more calls and let the thread end after those queued; return it for joining, if
        there is one. Safe to call twice."""
        with self._lock:
            if self._thread is None:
                self._ended = True
                return []
            if not self._ended:
                self._ended = True
                self._calls.put(None)
            return [self._thread]


def _make(calls: _Calls) -> None:
    """Make ``calls`` until None. A function, so that the thread does not keep the lane alive."""
    while (call := calls.get()) is not None:
        call()
        del call
