"""Run jobs in real time: each lane is one thread."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any, TypeVar

from audio_io.worker import join_all
from model.jobs.channel import Channel
from model.jobs.executor import CLOSE_S, Job, NextWork, Work
from model.jobs.lane import Lane

T = TypeVar("T")
U = TypeVar("U")

QUEUED_RESULTS = 512
"""Unpolled results after which a job waits."""


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
        """Keep the ``first`` result, and begin what waits for it."""
        with self._changed:
            self._first = first
            waiting, self._next = self._next, []
        for begin in waiting:
            begin(first)


class ThreadExecutor:
    """A :class:`model.jobs.executor.Executor`."""

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
