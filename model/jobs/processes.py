"""Work in processes of their own, which leave Ctrl-C to the process that began them.

A terminal sends it to all of them. Python would end each with a traceback, most likely while it
still imports, and lose what the parent would have it do first.
"""

from __future__ import annotations

import multiprocessing
import os
import signal
import sys
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ProcessPoolExecutor
from contextlib import contextmanager
from threading import Thread
from types import TracebackType
from typing import Any, ParamSpec, TypeVar

P = ParamSpec("P")
T = TypeVar("T")


class WorkerProcesses(ProcessPoolExecutor):
    """``count`` processes, which end with this one, however it ends.

    An error in the ``with`` block, Ctrl-C included, ends them at once. ``begin``: called in each
    with ``arguments``. ``tasks_each``: a new process takes over after so many tasks.
    """

    def __init__(
        self,
        count: int,
        begin: Callable[..., object] | None = None,
        *arguments: object,
        tasks_each: int | None = None,
    ) -> None:
        spawn = multiprocessing.get_context("spawn")
        begun_by = (begin, arguments)
        super().__init__(count, spawn, _begin, begun_by, max_tasks_per_child=tasks_each)

    def submit(self, fn: Callable[P, T], /, *args: P.args, **kwargs: P.kwargs) -> Future[T]:
        """Run ``fn`` in one of the processes."""
        with interrupts_held():  # also on the thread that begins later ones
            return super().submit(fn, *args, **kwargs)

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        where: TracebackType | None,
    ) -> bool | None:
        if kind is not None:
            for process in [*self._processes.values()]:
                process.terminate()
        return super().__exit__(kind, error, where)


@contextmanager
def interrupts_held() -> Iterator[None]:
    """Hold Ctrl-C back. Threads and processes that are started meanwhile never get it."""
    if sys.platform == "win32":
        yield
        return
    before = signal.pthread_sigmask(signal.SIG_BLOCK, (signal.SIGINT,))
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def _begin(begin: Callable[..., object] | None, arguments: tuple[Any, ...]) -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # on Windows nothing held it back
    parent = multiprocessing.parent_process()

    def end() -> None:
        if parent is not None:
            parent.join()
        os._exit(1)

    Thread(target=end, daemon=True).start()
    if begin is not None:
        begin(*arguments)
