"""Run jobs beside the conversation's loop, in lanes, and stream their results.

An engine never blocks: it submits a job (a generator) and polls it once per frame. Two executors:

- :class:`ThreadExecutor`, for conversations in real time: each lane is one thread.
- :class:`VirtualExecutor`, for conversations faster than real time: :meth:`Job.poll` does the work
  and measures it with a clock. Each result becomes ready at the sample at which real time would
  have delivered it, so latencies stay true, and exact with a fake clock. It does not model lanes
  that compete for the same cores.

Jobs of one lane run one after the other, in the order of submission. A job that needs the result of
another is queued behind it by :meth:`Job.then`.
"""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable, Generator, Iterator
from functools import partial
from typing import Any, Generic, Protocol, TypeVar

from audio_io.clock import samples
from audio_io.worker import join_all
from model.jobs.channel import Cancelled, Channel
from model.jobs.lane import Lane

T = TypeVar("T")
U = TypeVar("U")
Work = Callable[[Cancelled], Iterator[T]]
"""Yields results, and stops early once its argument returns true."""
NextWork = Callable[[T, Cancelled], Iterator[U]]
"""Work that is done with the result of other work."""

QUEUED_RESULTS = 512
"""Unpolled results after which a job waits."""

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


class _ThreadJob(Channel[T]):
    def __init__(self, executor: ThreadExecutor) -> None:
        super().__init__(lambda: False, QUEUED_RESULTS)
        self._executor = executor
        self._first: tuple[T, ...] | None = None  # empty if there was no result
        self._next: list[Callable[[tuple[T, ...]], object]] = []

    def run(self, work: Work[T]) -> None:
        """Do ``work``, which is not kept: it often holds who holds the job, and a turn's sound."""
        try:
            if not self.stopped:
                for result in work(lambda: self.stopped):
                    if not self.put(result):
                        break
                    if self._first is None:
                        self._begin_next((result,))
        except BaseException as error:  # noqa: BLE001 - raised again by poll
            self.end(error)
        else:
            self.end()
        if self._first is None:
            self._begin_next(())

    def poll(self, now: int) -> list[T]:
        return self.drain()

    def cancel(self) -> None:
        self.close()

    def then(self, lane: str, work: NextWork[T, U]) -> Job[U]:
        job, place = self._executor.job(lane)

        def begin(first: tuple[T, ...]) -> None:
            if first:
                place.submit(partial(job.run, partial(work, first[0])))
            else:
                job.run(lambda cancelled: iter(()))

        with self._changed:
            first = self._first
            if first is None:
                self._next.append(begin)
        if first is not None:
            begin(first)
        return job

    def _begin_next(self, first: tuple[T, ...]) -> None:
        with self._changed:
            self._first = first
            waiting, self._next = self._next, []
        for begin in waiting:
            begin(first)


class ThreadExecutor:
    """Real time: each lane is one thread."""

    def __init__(self) -> None:
        self._lanes: dict[str, Lane] = {}
        self._jobs: list[_ThreadJob[Any]] = []

    def submit(self, lane: str, now: int, work: Work[T]) -> Job[T]:
        job, place = self.job(lane)
        place.submit(partial(job.run, work))
        return job

    def job(self, lane: str) -> tuple[_ThreadJob[Any], Lane]:
        """Return a job without work, and the place of ``lane``."""
        job = _ThreadJob[Any](self)
        self._jobs = [j for j in self._jobs if not j.finished]
        self._jobs.append(job)
        return job, self._lane(lane)

    def run(self, lane: str, call: Callable[[], T]) -> T:
        return self._lane(lane).run(call)

    def start_over(self) -> None:
        for job in self._jobs:
            job.cancel()

    def close(self) -> None:
        self.start_over()
        lanes, self._lanes = self._lanes, {}
        join_all([thread for lane in lanes.values() for thread in lane.end()], CLOSE_S)

    def _lane(self, name: str) -> Lane:
        return self._lanes.setdefault(name, Lane(name))


class _VirtualLane:
    def __init__(self) -> None:
        self.free_at = 0
        self.jobs: deque[_VirtualJob[Any]] = deque()


class _VirtualJob(Generic[T]):
    """A job on ``lane`` of ``executor``: one that was submitted, or one ``after`` another."""

    def __init__(
        self, executor: VirtualExecutor, lane: str, after: _VirtualJob[Any] | None = None
    ) -> None:
        self._executor = executor
        self._lane = executor.lane(lane)
        self._after = after
        self._next: list[tuple[_VirtualJob[Any], NextWork[T, Any]]] = []
        self._first: tuple[float, T] | None = None
        self._results: Generator[T, None, None] | None = None
        self._time = 0.0
        self._ready: deque[tuple[float, T]] = deque()
        self._error: BaseException | None = None
        self._now = 0
        self._started = False
        self._done = False
        self._cancelled = False

    def queue(self, at: float, work: Work[T]) -> None:
        """Queue it with its ``work`` at ``at`` (user samples), unless it was cancelled."""
        if not self._done:
            self._results = self._run(work)
            self._time = at
            self._lane.jobs.append(self)

    def poll(self, now: int) -> list[T]:
        self._now = now
        self._catch_up(now)
        ready: list[T] = []
        while self._ready and self._ready[0][0] <= now:
            ready.append(self._ready.popleft()[1])
        if not ready and not self._ready and self._error is not None and self._time <= now:
            error, self._error = self._error, None
            raise error
        return ready

    def then(self, lane: str, work: NextWork[T, U]) -> Job[U]:
        job = _VirtualJob[Any](self._executor, lane, after=self)
        self._next.append((job, work))
        self._begin_next()
        return job

    @property
    def finished(self) -> bool:
        if self._cancelled:
            return True
        over = self._done and self._time <= self._now  # the last step may have made nothing
        return over and not self._ready and self._error is None

    def cancel(self) -> None:
        self._cancelled = True
        self._ready.clear()
        if not self._done:
            self._leave()
            if self._results is not None:
                self._results.close()

    def _run(self, work: Work[T]) -> Generator[T, None, None]:
        yield from work(lambda: self._cancelled)

    def _catch_up(self, now: int) -> None:
        """Let the jobs before it work until ``now``, and then this one."""
        if self._after is not None and self._results is None:
            self._after._catch_up(now)
        while self._lane.jobs and self._lane.jobs[0] is not self:
            first = self._lane.jobs[0]
            first._advance(now)
            if self._lane.jobs and self._lane.jobs[0] is first:
                break  # the lane is still busy with an earlier job
        self._advance(now)

    def _advance(self, now: int) -> None:
        """Work until this job's time has passed ``now``, if it is first in its lane."""
        if self._done or self._results is None or self._lane.jobs[0] is not self:
            return
        if not self._started:
            self._started = True
            self._time = max(self._time, self._lane.free_at)
        while not self._done and self._time <= now:
            begin = self._executor.clock()
            try:
                result = next(self._results)
            except StopIteration:
                self._finish(begin)
            except BaseException as error:  # noqa: BLE001 - raised again by poll
                self._error = error
                self._finish(begin)
            else:
                self._time += samples(self._executor.clock() - begin)
                self._ready.append((self._time, result))
                self._first = self._first or (self._time, result)
                self._begin_next()

    def _finish(self, begin: float) -> None:
        self._time += samples(self._executor.clock() - begin)
        self._leave()

    def _leave(self) -> None:
        self._done = True
        if self._started:
            self._lane.free_at = max(self._lane.free_at, round(self._time))
        if self in self._lane.jobs:
            self._lane.jobs.remove(self)
        self._begin_next()

    def _begin_next(self) -> None:
        """Queue the jobs after this one, if it is known what they are given; end them if nothing
        will be."""
        if self._first is None and not self._done:
            return
        waiting, self._next = self._next, []
        for job, work in waiting:
            if self._first is None:
                job._done, job._time = True, self._time
                job._begin_next()
            else:
                at, first = self._first
                job.queue(at, partial(work, first))


class VirtualExecutor:
    """Faster than real time: polling does the work. ``clock`` returns seconds."""

    def __init__(self, clock: Callable[[], float] = time.perf_counter) -> None:
        self.clock = clock
        self._lanes: dict[str, _VirtualLane] = {}

    def submit(self, lane: str, now: int, work: Work[T]) -> Job[T]:
        job = _VirtualJob[T](self, lane)
        job.queue(now, work)
        return job

    def lane(self, name: str) -> _VirtualLane:
        """Return the lane called ``name``."""
        return self._lanes.setdefault(name, _VirtualLane())

    def run(self, lane: str, call: Callable[[], T]) -> T:
        return call()

    def start_over(self) -> None:
        self.close()
        self._lanes.clear()

    def close(self) -> None:
        for lane in self._lanes.values():
            while lane.jobs:
                lane.jobs[0].cancel()
