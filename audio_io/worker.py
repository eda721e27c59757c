"""Threads that cannot die unnoticed, and bounded waiting for them."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Iterable

LOG_FILE_HANDLER = "covo-log-file"
"""Name of the root logger's handler for the file that error messages point to."""

log = logging.getLogger(__name__)


class Worker(threading.Thread):
    """A daemon thread that logs what its work raises and keeps it for its owner.

    ``restarts``: how often ``work`` is called again after it failed. ``on_failure`` is called on
    this thread after each failure; it must not raise.
    """

    def __init__(
        self,
        work: Callable[[], object],
        name: str,
        *,
        restarts: int = 0,
        on_failure: Callable[[BaseException], object] = lambda error: None,
    ) -> None:
        super().__init__(name=f"covo-{name}", daemon=True)
        self._work = work
        self._restarts = restarts
        self._on_failure = on_failure
        self.failure: BaseException | None = None
        """The latest error that ``work`` raised; also set while a restarted worker runs on."""

    def run(self) -> None:
        """Call ``work`` until it returns or has failed too often."""
        for left in range(self._restarts, -1, -1):
            try:
                self._work()
            except BaseException as error:
                what_next = "restarting" if left else "not restarted"
                log.exception("worker %s failed; %s", self.name, what_next)
                self.failure = error
                self._on_failure(error)
            else:
                return

    @property
    def dead(self) -> bool:
        """Whether the work ended by failing."""
        return self.failure is not None and not self.is_alive()


def join_all(threads: Iterable[threading.Thread], deadline_s: float) -> list[threading.Thread]:
    """Wait ``deadline_s`` in total for all ``threads``; return those still running.

    Do not free what a running thread uses: it may be inside a library.
    """
    waited_for = list(threads)
    end = time.monotonic() + deadline_s
    for thread in waited_for:
        thread.join(max(0.0, end - time.monotonic()))
    running = [thread for thread in waited_for if thread.is_alive()]
    if running:
        log.warning("still running after %g s: %s", deadline_s, ", ".join(t.name for t in running))
    return running


def details_hint() -> str:
    """Return `` (details in FILE)`` for the end of a message, or "" where no log file is kept."""
    for handler in logging.getLogger().handlers:
        if handler.name == LOG_FILE_HANDLER and isinstance(handler, logging.FileHandler):
            return f" (details in {handler.baseFilename})"
    return ""
