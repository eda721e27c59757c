"""Run jobs for a conversation that is faster than real time.

Polling a job does its work and measures it with a clock. Each result becomes ready at the sample at
which real time would have delivered it, so latencies stay true, and exact with a fake clock. Lanes
that compete for the same cores are not modelled.
"""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable, Generator
from functools import partial
from typing import Any, Generic, TypeVar

from audio_io.clock import samples
from model.jobs.executor import Job, NextWork, Work

T = TypeVar("T")
U = TypeVar("U")


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
    """A :class:`model.jobs.executor.Executor`. ``clock`` returns seconds."""

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
