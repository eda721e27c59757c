"""Jobs in lanes: on threads, and on a virtual clock."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from audio_io.clock import USER_RATE
from model.jobs.executor import QUEUED_RESULTS, Job, ThreadExecutor, VirtualExecutor
from tests.fakes.engine import FakeClock

PATIENCE = 20.0  # seconds; only a broken test waits that long


def drain(job: Job[int]) -> list[int]:
    results: list[int] = []
    waiting = threading.Event()
    while not job.finished:
        results += job.poll(0)
        waiting.wait(0.001)
    return results


def counting(n: int) -> Callable[[Callable[[], bool]], Iterator[int]]:
    return lambda cancelled: iter(range(n))


def test_a_thread_hands_over_all_results_in_order():
    executor = ThreadExecutor()
    more_than_fits = 3 * QUEUED_RESULTS
    assert drain(executor.submit("a", 0, counting(more_than_fits))) == list(range(more_than_fits))
    executor.close()


def test_jobs_of_one_lane_do_not_overlap_and_lanes_do():
    executor = ThreadExecutor()
    release, other_ran = threading.Event(), threading.Event()
    order: list[str] = []

    def first(cancelled: Callable[[], bool]) -> Iterator[int]:
        release.wait(PATIENCE)
        order.append("first")
        yield 1

    def second(cancelled: Callable[[], bool]) -> Iterator[int]:
        order.append("second")
        yield 2

    def other(cancelled: Callable[[], bool]) -> Iterator[int]:
        other_ran.set()
        yield 3

    one = executor.submit("a", 0, first)
    two = executor.submit("a", 0, second)
    three = executor.submit("b", 0, other)
    assert other_ran.wait(PATIENCE)
    assert order == []
    release.set()
    assert (drain(one), drain(two), drain(three)) == ([1], [2], [3])
    assert order == ["first", "second"]
    executor.close()


def test_a_cancelled_thread_job_hears_of_it_and_gives_nothing_more():
    executor = ThreadExecutor()
    running, stopped = threading.Event(), threading.Event()

    def work(cancelled: Callable[[], bool]) -> Iterator[int]:
        running.set()
        while not cancelled():
            pass
        stopped.set()
        yield 1

    job = executor.submit("a", 0, work)
    assert running.wait(PATIENCE)
    job.cancel()
    assert stopped.wait(PATIENCE)
    assert job.finished
    assert job.poll(0) == []
    executor.close()
    executor.close()


def failing(cancelled: Callable[[], bool]) -> Iterator[int]:
    yield 1
    raise ValueError("no more")


def test_an_error_comes_after_the_results_before_it():
    executor = ThreadExecutor()
    job = executor.submit("a", 0, failing)
    results: list[int] = []

    def poll_on() -> None:
        while not job.finished:
            results.extend(job.poll(0))

    with pytest.raises(ValueError, match="no more"):
        poll_on()
    assert results == [1]
    assert job.finished
    executor.close()


@settings(deadline=None)
@given(
    costs=st.lists(st.floats(0, 2), max_size=8),
    submitted=st.integers(0, USER_RATE),
    step=st.integers(1, USER_RATE),
)
def test_virtual_results_are_ready_when_their_work_would_be_done(costs, submitted, step):
    clock = FakeClock()
    executor = VirtualExecutor(clock)

    def work(cancelled: Callable[[], bool]) -> Iterator[int]:
        for n, cost in enumerate(costs):
            clock.pass_time(cost)
            yield n

    job = executor.submit("a", submitted, work)
    due, time = [], float(submitted)
    for cost in costs:
        time += cost * USER_RATE
        due.append(time)
    now, seen = submitted, []
    while not job.finished:
        seen += [(n, now) for n in job.poll(now)]
        now += step
    assert [n for n, _ in seen] == list(range(len(costs)))
    for n, at in seen:
        assert at >= due[n] - 8  # at most half a sample of rounding for each result
        assert at < due[n] + step + 8


def test_a_virtual_lane_does_one_job_after_the_other():
    clock = FakeClock()
    executor = VirtualExecutor(clock)

    def work(cancelled: Callable[[], bool]) -> Iterator[int]:
        clock.pass_time(1.0)
        yield 1

    one = executor.submit("a", 0, work)
    two = executor.submit("a", 0, work)
    assert two.poll(2 * USER_RATE - 1) == []
    assert two.poll(2 * USER_RATE) == [1]
    assert one.poll(2 * USER_RATE) == [1]


def test_cancelling_a_virtual_job_frees_its_lane_once_the_step_under_way_is_over():
    clock = FakeClock()
    executor = VirtualExecutor(clock)

    def work(cancelled: Callable[[], bool]) -> Iterator[int]:
        clock.pass_time(1.0)
        yield 1
        clock.pass_time(2.0)
        yield 2
        clock.pass_time(100.0)
        yield 3

    one = executor.submit("a", 0, work)
    assert one.poll(USER_RATE) == [1]
    one.cancel()
    assert one.finished
    two = executor.submit("a", USER_RATE, work)
    assert two.poll(4 * USER_RATE - 1) == []
    assert two.poll(4 * USER_RATE) == [1]


def test_a_virtual_error_comes_at_its_time():
    clock = FakeClock()
    executor = VirtualExecutor(clock)

    def work(cancelled: Callable[[], bool]) -> Iterator[int]:
        yield 1
        clock.pass_time(1.0)
        raise ValueError("no more")

    job = executor.submit("a", 0, work)
    assert job.poll(0) == [1]
    assert job.poll(USER_RATE - 1) == []
    assert not job.finished
    with pytest.raises(ValueError, match="no more"):
        job.poll(USER_RATE)
    assert job.finished


def test_a_virtual_job_is_finished_when_its_last_step_would_be_over():
    clock = FakeClock()
    executor = VirtualExecutor(clock)

    def work(cancelled: Callable[[], bool]) -> Iterator[int]:
        clock.pass_time(0.5)
        yield 1
        clock.pass_time(1.5)  # and then there is nothing more to say

    job = executor.submit("a", 0, work)
    assert job.poll(USER_RATE // 2) == [1]
    assert not job.finished
    assert job.poll(2 * USER_RATE - 1) == []
    assert not job.finished
    assert job.poll(2 * USER_RATE) == []
    assert job.finished
