"""Run jobs beside the conversation's loop, in lanes, and stream their results.

An engine never blocks: it submits a job (a generator) and polls it once per frame. One executor is
for conversations in real time (:mod:`model.jobs.thread_executor`), one for those that are faster
(:mod:`model.jobs.virtual_executor`).

Jobs of one lane run one after the other, in the order of submission. A job that needs the result of
another is queued behind it by :meth:`Job.then`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Protocol, TypeVar

from model.jobs.channel import Cancelled

T = TypeVar("T")
U = TypeVar("U")
Work = Callable[[Cancelled], Iterator[T]]
"""Yields results, and stops early once its argument returns true."""
NextWork = Callable[[T, Cancelled], Iterator[U]]
"""Work that is done with the result of other work."""

CLOSE_S = 1.0
"""Seconds that closing waits for running jobs; one inside a library may never return."""


class Job(Protocol[T]):
    """A piece of work in progress."""

    def poll(self, now: int) -> list[T]:
        """Return the results that became ready since the last call, up to ``now`` (user samples).

        Raises: what the work raised, once all results before it have been returned.
        """

    @property
    def finished(self) -> bool:
        """Whether :meth:`poll` has nothing more to return or raise."""

    def cancel(self) -> None:
        """Stop soon and drop the results not polled yet."""

    def then(self, lane: str, work: NextWork[T, U]) -> Job[U]:
        """Queue ``work`` on ``lane`` as soon as this job has its first result, which it is given.

        No frame is waited for. If there is no result, ``work`` is not done.
        """


class Executor(Protocol):
    """Runs an engine's jobs."""

    def submit(self, lane: str, now: int, work: Work[T]) -> Job[T]:
        """Queue ``work`` on ``lane`` at ``now`` (user samples)."""

    def run(self, lane: str, call: Callable[[], T]) -> T:
        """Call ``call`` on the thread that runs the jobs of ``lane``, and return its result. Meant
        for loading: it takes none of the conversation's time. Raises: what ``call`` raises."""

    def start_over(self) -> None:
        """Cancel all jobs; the next ones begin at 0 again."""

    def close(self) -> None:
        """Cancel all jobs and wait for them, at most :data:`CLOSE_S`. Safe to call twice."""


def once(call: Callable[[], T]) -> Work[T]:
    """Return work whose only result is what ``call`` returns."""

    def work(cancelled: Cancelled) -> Iterator[T]:
        yield call()

    return work
