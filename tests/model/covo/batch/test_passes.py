"""Whose work goes into which pass: with work that computes nothing, in virtual steps."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from dataclasses import dataclass, field

import pytest

pytest.importorskip("torch", reason="needs torch (the covo extra)")

from audio_io.worker import Worker
from model.covo.batch.passes import Passes
from model.errors import ModelError

FOR_EVER = 60.0
"""A time to wait for others, in s, that no test reaches."""


@dataclass
class Table:
    """What was computed, pass by pass: letters of steps that were joint, a digit for a slice.

    While ``held`` is clear, a pass does not end. ``failing``: work that cannot be computed;
    ``joint_failure``: raised by every joint pass.
    """

    linger_s: float = FOR_EVER
    passes: list[str] = field(default_factory=list)
    failing: str = ""
    joint_failure: BaseException | None = None
    held: threading.Event = field(default_factory=threading.Event)
    began: threading.Event = field(default_factory=threading.Event)

    def __post_init__(self) -> None:
        self.held.set()
        self.marks = Marks(self)
        self.turns: Passes[Piece] = Passes(self.together, self.marks, linger_s=self.linger_s)

    def together(self, work: Sequence[Piece]) -> None:
        if self.joint_failure is not None:
            raise self.joint_failure
        self.note("".join(sorted(piece.name for piece in work)))

    def note(self, names: str) -> None:
        self.passes.append(names)
        self.began.set()
        assert self.held.wait(10)

    def run(self, name: str, *, rest: bool = True) -> None:
        """Compute the letters of ``name`` one after another, as one stream."""
        for each in name:
            self.turns.run(Piece(self, each, stream=ord(name[0])))
        if rest:
            self.turns.rest(ord(name[0]))

    def start(self, name: str, *, waiting: int) -> Worker:
        """Run ``name`` on a thread, and return when so many wait."""
        worker = Worker(lambda: self.run(name), f"test-{name}")
        worker.start()
        with self.turns._changed:
            assert self.turns._changed.wait_for(lambda: len(self.turns._waiting) == waiting, 10)
        return worker

    def hold(self, name: str) -> Worker:
        """Begin a pass of ``name`` and let it last until :meth:`finish`."""
        self.held.clear()
        worker = self.start(name, waiting=0)
        assert self.began.wait(10)
        return worker

    def finish(self, *workers: Worker) -> None:
        self.held.set()
        for worker in workers:
            worker.join(10)
            assert not worker.is_alive()


@dataclass
class Piece:
    table: Table
    name: str
    stream: int

    @property
    def joins(self) -> bool:
        return self.name.isalpha()

    def alone(self) -> None:
        if self.name in self.table.failing:
            raise MemoryError(self.name)
        self.table.note(self.name)


@dataclass
class Marks:
    """The device's marks. ``waits``: the passes that were begun at each wait."""

    table: Table
    waits: list[int] = field(default_factory=list)
    set_after: list[int] = field(default_factory=list)

    def set(self) -> None:
        self.set_after.append(len(self.table.passes))

    def wait(self) -> None:
        self.waits.append(len(self.table.passes))


def test_one_alone_never_waits():
    table = Table()
    table.run("aaa")
    assert table.passes == ["a", "a", "a"]
    assert table.marks.waits == []
    assert table.marks.set_after == [1, 2, 3]


def test_who_waits_for_the_same_pass_shares_the_next():
    table = Table()
    holding = table.hold("x")
    others = [table.start(name, waiting=n) for n, name in enumerate("abc", start=1)]
    table.finish(holding, *others)
    assert table.passes == ["x", "abc"]


def test_nobody_waits_longer_than_a_step_and_a_slice():
    table = Table(linger_s=0)
    holding = table.hold("x")
    prefill = table.start("1234", waiting=1)
    others = [table.start(name, waiting=n) for n, name in enumerate("abc", start=2)]
    table.finish(holding, prefill, *others)
    assert table.passes == ["x", "1", "abc", "2", "3", "4"]


def test_two_prefills_take_turns():
    table = Table()
    holding = table.hold("x")
    prefills = [table.start("123", waiting=1), table.start("567", waiting=2)]
    table.finish(holding, *prefills)
    assert table.passes[:3] == ["x", "1", "5"]
    assert sorted(table.passes[3:]) == ["2", "3", "6", "7"]


@pytest.mark.parametrize("lengths", [(7, 7), (3, 12, 5), (20, 1, 9, 4, 6)])
def test_who_makes_steps_is_part_of_every_pass_until_its_last(lengths):
    table = Table()
    holding = table.hold("x")
    names = [chr(ord("a") + n) for n in range(len(lengths))]
    others = [
        table.start(name * length, waiting=n + 1)
        for n, (name, length) in enumerate(zip(names, lengths, strict=True))
    ]
    table.finish(holding, *others)
    wanted = [
        "".join(name for name, length in zip(names, lengths, strict=True) if length > step)
        for step in range(max(lengths))
    ]
    assert table.passes == ["x", *wanted]


def test_who_does_not_come_back_is_waited_for_once():
    table = Table(linger_s=0.001)
    table.run("a", rest=False)  # its reader stands still, say
    table.run("bb")
    assert table.passes == ["a", "b", "b"]
    assert table.marks.waits == [1]  # for a, before the first of b
    table.run("a", rest=False)
    table.run("b")
    assert table.marks.waits == [1, 4]


def test_a_slice_is_not_queued_behind_another_while_others_make_steps():
    table = Table()
    table.run("12")
    assert table.marks.waits == []
    table.run("a", rest=False)
    table.run("34")
    assert table.passes == ["1", "2", "a", "3", "4"]
    assert table.marks.waits == [3, 4]


def test_what_one_cannot_compute_is_its_own_failure():
    table = Table(failing="b", joint_failure=RuntimeError("no memory for all"))
    holding = table.hold("x")
    others = [table.start(name, waiting=n) for n, name in enumerate("abc", start=1)]
    table.finish(holding, *others)
    assert sorted(table.passes) == ["a", "c", "x"]
    assert [type(worker.failure) for worker in others] == [type(None), MemoryError, type(None)]
    table.run("d")  # nobody waits for the one that failed
    assert table.passes[-1] == "d"


def test_a_pass_that_is_broken_off_leaves_nobody_waiting():
    table = Table(joint_failure=SystemExit())
    holding = table.hold("x")
    others = [table.start(name, waiting=n) for n, name in enumerate("ab", start=1)]
    table.finish(holding, *others)
    failures = {type(worker.failure) for worker in others}
    assert failures == {SystemExit, ModelError}
    table.joint_failure = None
    for name in "ab":
        table.turns.rest(ord(name))
    table.run("c")
    assert table.passes == ["x", "c"]
