"""Sound that is made about as fast as it is played, on a clock of its own."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import count, cycle

import numpy as np
import pytest

from model.lite.kokoro.head_start import LONGEST_WAIT_S, HeadStart, SynthesisPace

CONTEXT, READING = 0.2, 0.1


class SlowTalk:
    """Says clauses of given lengths (s) at a pace of ``pace()`` seconds of work for one of sound.

    All of a reply is written before its first sound.
    """

    def __init__(self, pace: Callable[[], float], *, whole: bool = False) -> None:
        self.pace = pace
        self.now = 0.0
        infinite = float("inf")
        sizes = (0.0, infinite, infinite, infinite) if whole else (CONTEXT, 0.5, 0.3, 2.0)
        self.measured = SynthesisPace(*sizes)

    def say(self, clauses: Sequence[float]) -> list[tuple[float, float]]:
        """Return when each sound may be played, and its length."""
        later = list(clauses)
        start: HeadStart[float] = HeadStart(self.measured, lambda: later, lambda: self.now)
        played = []
        for clause in clauses:
            later.pop(0)
            self._take(READING * clause * self.pace(), clause, self.measured.read)
            made = 0.0
            while clause - made > 1e-9:
                length = min(start.length(clause - made), clause - made)
                worked = length + self.measured.context
                self._take(worked * self.pace(), worked, self.measured.made)
                made += length
                for sound in start.add(length, length, min(1.0, made / clause)):
                    played.append((self.now, sound))
            for sound in start.end_clause():
                played.append((self.now, sound))
        played += [(self.now, sound) for sound in start.end()]
        assert sum(sound for _, sound in played) == pytest.approx(sum(clauses))
        return played

    def _take(self, took: float, sound: float, note: Callable[[float, float], None]) -> None:
        self.now += took
        note(sound, took)


def gaps(played: list[tuple[float, float]], clauses: Sequence[float]) -> list[float]:
    """Return the silences in a reply that was played as it came: all within its clauses, and those
    after them that are longer than a pause."""
    ends, said, found = played[0][0], 0.0, []
    after = [sum(clauses[:number]) for number in range(len(clauses))]
    for at, sound in played:
        pause = 0.3 if any(abs(said - end) < 1e-6 for end in after) else 0.0
        if at > ends + pause + 1e-9:
            found.append(at - ends)
        ends, said = max(ends, at) + sound, said + sound
    return found


REPLIES = ([1.5, 4.0, 3.0], [3.5], [0.9, 6.0], [2.5, 2.5, 2.5, 2.5], [1.2, 8.0, 1.0])


@pytest.mark.parametrize("whole", [False, True])
@pytest.mark.parametrize("pace", [0.1, 0.3, 0.5, 0.6, 0.7, 0.8, 0.9, 1.0])
def test_a_known_reply_plays_without_a_gap(pace: float, whole: bool) -> None:
    talk = SlowTalk(lambda: pace, whole=whole)
    for clauses in REPLIES:
        if not whole or max(clauses) < 5:  # it would have to wait too long
            assert not gaps(talk.say(clauses), clauses), clauses


def test_a_machine_that_is_fast_enough_waits_for_nothing() -> None:
    for pace in (0.05, 0.2, 0.4, 0.5, 0.55):
        talk = SlowTalk(lambda pace=pace: pace)  # type: ignore[misc]
        for clauses in REPLIES:
            began = talk.now
            first = (0.5 + CONTEXT + READING * clauses[0]) * pace
            if clauses[0] > 0.8:  # no rest too short for a piece
                assert talk.say(clauses)[0][0] - began == pytest.approx(first), (pace, clauses)


def test_the_first_sound_waits_no_longer_than_it_must() -> None:
    waits = []
    for pace in (0.6, 0.8, 1.0, 1.1):
        talk = SlowTalk(lambda pace=pace: pace)  # type: ignore[misc]
        talk.say([1.0])
        began = talk.now
        played = talk.say([2.0, 3.0])
        assert not gaps(played, [2.0, 3.0])
        waits.append(played[0][0] - began)
    assert waits == sorted(waits)
    assert waits[0] < 0.6
    # All of the first clause, and what was waited for after it.
    assert waits[-1] < 1.1 * (1 + READING) * 2.0 + LONGEST_WAIT_S


@pytest.mark.parametrize("pace", [1.5, 2.0, 4.0])
def test_a_machine_that_is_too_slow_plays_whole_clauses(pace: float) -> None:
    talk = SlowTalk(lambda: pace)
    talk.say([1.0])
    began, clauses = talk.now, [2.0, 5.0, 5.0]
    played = talk.say(clauses)
    whole = (READING + 1 + CONTEXT / 2) * pace * clauses[0]
    longest_piece = (2.0 + CONTEXT) * pace
    assert played[0][0] - began <= whole + LONGEST_WAIT_S + longest_piece
    # One gap for each clause is what is left: none of them is chopped up.
    assert len(gaps(played, clauses)) <= len(clauses)


def test_work_that_comes_and_goes_makes_few_gaps() -> None:
    rng = np.random.default_rng(4)
    steady = SlowTalk(lambda: float(rng.gamma(16, 0.9 / 16)))
    heard = [gaps(steady.say(clauses), clauses) for _, clauses in zip(range(40), cycle(REPLIES))]
    # The rule that knew of one clause alone made 74.
    assert sum(map(len, heard)) <= 8


def test_what_ran_dry_is_held_again() -> None:
    paces = (0.5 if number < 12 else 1.6 if number < 16 else 0.5 for number in count())
    talk = SlowTalk(lambda: next(paces))
    talk.say([2.0, 3.0])
    assert len(gaps(talk.say([6.0, 6.0]), [6.0, 6.0])) <= 1


def test_a_voice_without_a_pace_holds_nothing() -> None:
    start: HeadStart[str] = HeadStart(None, lambda: [100.0], lambda: 0.0)
    assert start.length(3.0) == 3.0
    assert start.add("sound", 0.1, 0.01) == ["sound"]
    assert start.end_clause() == []
    assert start.end() == []


def test_what_is_held_comes_when_nothing_more_is_known() -> None:
    pace = SynthesisPace(0.0, 0.5, 0.3, 2.0)
    pace.made(1.0, 1.5)
    known = [4.0]
    start: HeadStart[str] = HeadStart(pace, lambda: known, lambda: 0.0)
    assert start.add("one", 1.0, 1.0) == []
    # The next clause turned out to have no sound.
    known.clear()
    assert start.end_clause() == ["one"]
    assert start.end() == []
