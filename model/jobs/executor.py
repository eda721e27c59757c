"""Work beside the conversation's loop: jobs that stream their results, in lanes.

An engine never blocks: it submits a job (a generator) and polls it once per frame for what has
become ready by then. Two executors do the work:

- :class:`ThreadExecutor`, for conversations in real time: each lane is one thread.
- :class:`VirtualExecutor`, for conversations faster than real time: the work is done inside
  :meth:`Job.poll`, its time is taken with a clock, and each result becomes ready only at the sample
  at which it would have been ready had the conversation run in real time. Latencies stay true, and
  with a fake clock a test knows them to the sample. What it leaves out: lanes that compete for the
  same cores.

Jobs of one lane run one after the other, in the order in which they were submitted.
"""

from __future__ import annotations

import queue
import threading
import time
from collections import deque
from collections.abc import Callable, Iterator
from typing import Generic, Protocol, TypeVar

from audio_io.clock import samples
from model.jobs.channel import Cancelled

T = TypeVar("T")
Work = Callable[[Cancelled], Iterator[T]]
"""Makes the results; looks at its argument now and then, and stops early when that is true."""

QUEUED_RESULTS = 512
"""Results that may wait to be polled; a job that gets further ahead waits."""


class Job(Protocol[T]):
    """Work that was submitted."""

    def poll(self, now: int) -> list[T]:
        """The results that became ready since the last call, up to time ``now`` (user samples).

        Raises: what the work raised, after all results before it have been handed out.
        """

    @property
    def finished(self) -> bool:
        """Whether :meth:`poll` will return nothing more."""

    def cancel(self) -> None:
        """Stop soon; results not polled yet are dropped."""


class Executor(Protocol):
    """Does the jobs of an engine."""

    def submit(self, lane: str, now: int, work: Work[T]) -> Job[T]:
        """Start ``work`` on ``lane`` at ``now`` (user samples), after the lane's other jobs."""

    def close(self) -> None:
        """Cancel everything and wait for it. Safe to call twice."""


def once(call: Callable[[], T]) -> Work[T]:
    """The work whose one result is what ``call`` returns."""

    def work(cancelled: Cancelled) -> Iterator[T]:
        yield call()

    return work


class _ThreadJob(Generic[T]):
    def __init__(self, work: Work[T]) -> None:
        self._work = work
        self._results: queue.Queue[T] = queue.Queue(QUEUED_RESULTS)
        self._error: BaseException | None = None
        self._cancelled = threading.Event()
        self._done = threading.Event()

    def run(self) -> None:
        try:
            if not self._cancelled.is_set():
                for result in self._work(self._cancelled.is_set):
                    if not self._put(result):
                        break
        except BaseException as error:  # noqa: BLE001 - handed on to whoever polls
            self._error = error
        finally:
            self._done.set()

    def _put(self, result: T) -> bool:
        while not self._cancelled.is_set():
            try:
                self._results.put(result, timeout=0.1)
            except queue.Full:
                continue
            return True
        return False

    def poll(self, now: int) -> list[T]:
        if self._cancelled.is_set():
            return []
        done = self._done.is_set()  # before draining: nothing is added after it
        ready: list[T] = []
        while True:
            try:
                ready.append(self._results.get_nowait())
            except queue.Empty:
                break
        if done and not ready and self._error is not None:
            error, self._error = self._error, None
            raise error
        return ready

    @property
    def finished(self) -> bool:
        if self._cancelled.is_set():
            return True
        return self._done.is_set() and self._results.empty() and self._error is None

    def cancel(self) -> None:
        self._cancelled.set()


class _Lane:
    """One thread that runs its jobs in order."""

    def __init__(self, name: str) -> None:
        self._jobs: queue.SimpleQueue[Callable[[], None] | None] = queue.SimpleQueue()
        self._thread = threading.Thread(target=self._run, name=f"covo-{name}", daemon=True)
        self._thread.start()

    def put(self, run: Callable[[], None]) -> None:
        self._jobs.put(run)

    def close(self) -> None:
        self._jobs.put(None)
        self._thread.join()

    def _run(self) -> None:
        while (run := self._jobs.get()) is not None:
            run()


class ThreadExecutor:
    """Real time: each lane is a thread of its own."""

    def __init__(self) -> None:
        self._lanes: dict[str, _Lane] = {}
        self._jobs: list[_ThreadJob[object]] = []

    def submit(self, lane: str, now: int, work: Work[T]) -> Job[T]:
        job = _ThreadJob(work)
        self._jobs = [j for j in self._jobs if not j.finished]
        self._jobs.append(job)  # type: ignore[arg-type]
        if lane not in self._lanes:
            self._lanes[lane] = _Lane(lane)
        self._lanes[lane].put(job.run)
        return job

    def close(self) -> None:
        for job in self._jobs:
            job.cancel()
        for lane in self._lanes.values():
            lane.close()
        self._lanes.clear()


class _VirtualLane:
    def __init__(self) -> None:
        self.free_at = 0
        self.jobs: deque[_VirtualJob[object]] = deque()


class _VirtualJob(Generic[T]):
    def __init__(
        self, work: Work[T], submitted: int, lane: _VirtualLane, clock: Callable[[], float]
    ) -> None:
        self._results = work(lambda: self._cancelled)
        self._time: float = submitted
        self._lane = lane
        self._clock = clock
        self._ready: deque[tuple[float, T]] = deque()
        self._error: BaseException | None = None
        self._now = submitted
        self._started = False
        self._done = False
        self._cancelled = False

    def poll(self, now: int) -> list[T]:
        self._now = now
        while self._lane.jobs and self._lane.jobs[0] is not self:
            first = self._lane.jobs[0]
            first.advance(now)
            if self._lane.jobs and self._lane.jobs[0] is first:
                break  # the lane is still busy with an earlier job
        self.advance(now)
        ready: list[T] = []
        while self._ready and self._ready[0][0] <= now:
            ready.append(self._ready.popleft()[1])
        if not ready and not self._ready and self._error is not None and self._time <= now:
            error, self._error = self._error, None
            raise error
        return ready

    def advance(self, now: int) -> None:
        """Work until this job's own time has passed ``now``, if it is its turn."""
        if self._done or not self._lane.jobs or self._lane.jobs[0] is not self:
            return
        if not self._started:
            self._started = True
            self._time = max(self._time, self._lane.free_at)
        while not self._done and self._time <= now:
            begin = self._clock()
            try:
                result = next(self._results)
            except StopIteration:
                self._finish(begin)
            except BaseException as error:  # noqa: BLE001 - handed on to whoever polls
                self._error = error
                self._finish(begin)
            else:
                self._time += samples(self._clock() - begin)
                self._ready.append((self._time, result))

    def _finish(self, begin: float) -> None:
        self._time += samples(self._clock() - begin)
        self._leave()

    def _leave(self) -> None:
        self._done = True
        if self._started:
            self._lane.free_at = max(self._lane.free_at, round(self._time))
        if self in self._lane.jobs:
            self._lane.jobs.remove(self)  # type: ignore[arg-type]

    @property
    def finished(self) -> bool:
        if self._cancelled:
            return True
        over = self._done and self._time <= self._now  # the last step may have made nothing
        return over and not self._ready and self._error is None

    def cancel(self) -> None:
        self._cancelled = True
        if not self._done:
            self._leave()
            close = getattr(self._results, "close", None)
            if close is not None:
                close()


class VirtualExecutor:
    """Faster than real time: work is done when it is polled for, and its time is counted.

    ``clock`` returns seconds.
    """

    def __init__(self, clock: Callable[[], float] = time.perf_counter) -> None:
        self._clock = clock
        self._lanes: dict[str, _VirtualLane] = {}

    def submit(self, lane: str, now: int, work: Work[T]) -> Job[T]:
        place = self._lanes.setdefault(lane, _VirtualLane())
        job = _VirtualJob(work, now, place, self._clock)
        place.jobs.append(job)  # type: ignore[arg-type]
        return job

    def close(self) -> None:
        for lane in self._lanes.values():
            while lane.jobs:
                lane.jobs[0].cancel()
