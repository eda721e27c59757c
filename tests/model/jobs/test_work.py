"""Jobs in lanes: on threads, and on a virtual clock."""

from __future__ import annotations

import gc
import threading
import weakref
from collections.abc import Callable, Iterator

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from audio_io.clock import USER_RATE
from audio_io.worker import Worker, join_all
from model.errors import ModelError, failing_as_model_error
from model.jobs import channel, thread_executor
from model.jobs.channel import Channel, feed
from model.jobs.executor import Job
from model.jobs.lane import Lane
from model.jobs.thread_executor import QUEUED_RESULTS, ThreadExecutor
from model.jobs.virtual_executor import VirtualExecutor
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


@pytest.mark.parametrize("executor", [ThreadExecutor(), VirtualExecutor(FakeClock())])
def test_a_job_that_is_over_keeps_nothing_of_its_work(executor):
    work = counting(3)
    known, job = weakref.ref(work), executor.submit("a", 0, work)
    del work
    assert drain(job) == [0, 1, 2]
    drain(executor.submit("a", 0, counting(1)))  # so the lane is done with the job before
    assert known() is None
    executor.close()


def add(first: int, cancelled: Callable[[], bool]) -> Iterator[int]:
    return iter((first, first + 100))


@pytest.fixture(params=["threads", "virtual"])
def any_executor(request):
    executor = ThreadExecutor() if request.param == "threads" else VirtualExecutor(FakeClock())
    yield executor
    executor.close()


@pytest.mark.parametrize("late", [False, True])
def test_the_next_job_is_given_the_first_result(any_executor, late):
    first = any_executor.submit("a", 0, lambda cancelled: iter((7, 8)))
    known = drain(first) if late else []
    nexts = [first.then(lane, add) for lane in ("a", "b", "a")]
    assert [drain(job) for job in nexts] == [[7, 107]] * 3
    assert (known or drain(first)) == [7, 8]


def test_without_a_result_the_next_job_ends_and_has_nothing_to_say(any_executor):
    def fail(cancelled: Callable[[], bool]) -> Iterator[int]:
        raise ValueError("nothing")
        yield 1

    for first in (any_executor.submit("a", 0, counting(0)), any_executor.submit("a", 0, fail)):
        second = first.then("b", add)
        assert drain(second.then("a", add)) == drain(second) == []
    with pytest.raises(ValueError, match="nothing"):
        drain(first)
    assert drain(first.then("b", add)) == []


def test_what_is_cancelled_is_not_gone_on_from(any_executor):
    gate = threading.Event()

    def wait_and_count(cancelled: Callable[[], bool]) -> Iterator[int]:
        gate.wait(PATIENCE)
        return iter(range(3))

    first = any_executor.submit("a", 0, wait_and_count)
    second = first.then("b", add)
    third = second.then("a", add)
    second.cancel()
    gate.set()
    assert drain(first) == [0, 1, 2]
    assert drain(third) == []
    assert second.finished
    fourth = any_executor.submit("a", 0, counting(3))
    fifth = fourth.then("b", add)
    any_executor.start_over()
    assert drain(fifth) == []


def test_a_thread_waits_for_nobody_before_the_next_job():
    """Nothing polls the first job, so no frame is waited for."""
    executor = ThreadExecutor()
    release = threading.Event()

    def first(cancelled: Callable[[], bool]) -> Iterator[int]:
        yield 7
        release.wait(PATIENCE)

    assert drain(executor.submit("a", 0, first).then("b", add)) == [7, 107]
    release.set()
    executor.close()


@pytest.mark.parametrize("executor", [ThreadExecutor(), VirtualExecutor(FakeClock())])
def test_jobs_that_are_over_keep_nothing_of_the_next_ones_work(executor):
    def add_one(first: int, cancelled: Callable[[], bool]) -> Iterator[int]:
        return iter((first + 1,))

    known, job = weakref.ref(add_one), executor.submit("a", 0, counting(1))
    following = job.then("a", add_one)
    del add_one
    assert drain(following) == [1]
    del job, following
    for lane in ("a", "b"):
        drain(executor.submit(lane, 0, counting(1)))  # so both are done with the jobs before
    gc.collect()
    assert known() is None
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


@settings(deadline=None)
@given(st.floats(0, 2), st.floats(0, 2), st.integers(1, USER_RATE))
def test_a_virtual_next_job_begins_at_the_time_of_the_result(before, cost, step):
    clock = FakeClock()
    executor = VirtualExecutor(clock)

    def wait(seconds: float) -> Iterator[int]:
        clock.pass_time(seconds)
        yield 1

    job = executor.submit("a", 0, lambda cancelled: wait(before)).then("b", lambda *_: wait(cost))
    now = 0
    while not job.poll(now):
        now += step
    due = (before + cost) * USER_RATE
    assert due - 2 <= now < due + step + 2


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


@pytest.fixture
def never_polls(monkeypatch):
    """Waiting ends when something happens, not because time passed."""
    monkeypatch.setattr(channel, "CANCEL_POLL_S", 10 * PATIENCE)


def in_time(work: Callable[[], object]) -> None:
    worker = Worker(work, "test")
    worker.start()
    assert not join_all([worker], PATIENCE)
    assert worker.failure is None


def test_the_end_of_a_channel_wakes_its_reader(never_polls):
    between: Channel[int] = Channel(lambda: False)
    read: list[int] = []
    waiting = threading.Event()

    def read_all() -> None:
        for item in between:
            read.append(item)
            waiting.set()

    reader = Worker(read_all, "reader")
    reader.start()
    between.put(1)
    assert waiting.wait(PATIENCE)
    between.end()
    assert not join_all([reader], PATIENCE)
    assert read == [1]


def test_a_closed_channel_wakes_its_writer(never_polls):
    between: Channel[int] = Channel(lambda: False, capacity=1)
    assert between.put(1)
    results: list[bool] = []
    writer = Worker(lambda: results.append(between.put(2)), "writer")
    writer.start()
    between.close()
    assert not join_all([writer], PATIENCE)
    assert results == [False]


def test_a_full_channel_takes_more_as_soon_as_an_item_is_read(never_polls):
    between: Channel[int] = Channel(lambda: False, capacity=1)
    feed(between, lambda: [between.put(n) for n in range(5)], "writer")  # type: ignore[func-returns-value]
    in_time(lambda: list(between))


def test_what_the_producer_raises_comes_to_the_reader_after_the_items():
    between: Channel[int] = Channel(lambda: False)

    def produce() -> None:
        between.put(1)
        raise ValueError("no more")

    feed(between, produce, "writer")
    read: list[int] = []
    with pytest.raises(ValueError, match="no more"):
        read.extend(between)
    reader = iter(between)
    assert next(reader, None) is None


def test_a_job_that_never_returns_does_not_keep_its_executor_from_closing(monkeypatch):
    monkeypatch.setattr(thread_executor, "CLOSE_S", 0.05)
    executor = ThreadExecutor()
    forever, running = threading.Event(), threading.Event()

    def stuck(cancelled: Callable[[], bool]) -> Iterator[int]:
        running.set()
        forever.wait()
        yield 1

    executor.submit("a", 0, stuck)
    assert running.wait(PATIENCE)
    in_time(executor.close)
    forever.set()


def test_a_call_runs_where_the_jobs_of_its_lane_do_and_takes_no_virtual_time():
    executor = ThreadExecutor()

    def where(cancelled: Callable[[], bool]) -> Iterator[int]:
        yield threading.get_ident()

    on_lane = executor.run("a", threading.get_ident)
    assert drain(executor.submit("a", 0, where)) == [on_lane]
    assert on_lane != threading.get_ident()
    with pytest.raises(ZeroDivisionError):
        executor.run("a", lambda: 1 / 0)
    executor.close()

    clock = FakeClock()
    virtual = VirtualExecutor(clock)
    virtual.run("a", lambda: clock.pass_time(3.0))
    assert virtual.submit("a", 0, counting(1)).poll(0) == [0]


def test_a_lane_keeps_its_thread_until_it_ends():
    lane = Lane("test")
    assert Lane("never used").end() == []
    made = [lane.run(threading.current_thread) for _ in range(2)]
    assert made[0] is made[1]
    assert made[0].name == "covo-test"
    done: list[int] = []
    lane.submit(lambda: done.append(1))
    assert lane.end() == lane.end() == made[:1]
    assert not join_all(made[:1], PATIENCE)
    assert done == [1]
    assert not lane.submit(lambda: done.append(2))
    with pytest.raises(ModelError, match="test has ended"):
        lane.run(threading.get_ident)


def test_a_lane_that_is_let_go_of_ends_its_thread():
    lane = Lane("test")
    thread = lane.run(threading.current_thread)
    del lane
    gc.collect()
    assert not join_all([thread], PATIENCE)


def test_a_worker_logs_its_failure_and_keeps_it_for_its_owner(caplog):
    told: list[BaseException] = []
    calls: list[int] = []

    def work() -> None:
        calls.append(1)
        raise ValueError("a bug")

    worker = Worker(work, "test", restarts=2, on_failure=told.append)
    worker.start()
    assert not join_all([worker], PATIENCE)
    assert worker.dead
    assert worker.failure is told[-1]
    assert len(calls) == len(told) == 3
    assert "ValueError: a bug" in caplog.text
    assert "restarting" in caplog.text


def test_an_unexpected_error_is_logged_with_its_traceback(caplog):
    with pytest.raises(ModelError, match="the reply failed"), failing_as_model_error("the reply"):
        raise ValueError("a bug")
    assert "Traceback" in caplog.text
