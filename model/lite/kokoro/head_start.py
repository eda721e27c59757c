"""When the sound of a reply may begin, if it is made about as fast as it is played.

Sound that begins too early runs dry: the rest is not made yet. How long the rest will take is told
by what was measured so far. Lengths and times are in seconds.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Generic, TypeVar

T = TypeVar("T")

LONGEST_WAIT_S = 3.0
"""Longest wait for clauses after the one that is being made."""

_SLOWER = 1.5
"""A piece may take this many times as long as expected, since other work comes and goes."""
_PAUSE = 0.3
"""How much longer the pause between two clauses may be."""
_STEP = 0.1
"""Precision with which the length of a piece is chosen."""
_LEAST = 1e-6
_KEPT = 0.8
"""Weight of a measured value when the next one comes."""


@dataclass(slots=True)
class _Average:
    """The mean of measured values and how far they scatter; recent ones count most."""

    weight: float = 0.0
    total: float = 0.0
    squares: float = 0.0

    def add(self, value: float) -> None:
        self.weight = self.weight * _KEPT + 1.0
        self.total = self.total * _KEPT + value
        self.squares = self.squares * _KEPT + value * value

    @property
    def expected(self) -> float:
        """Half a deviation above the mean; hardly anything if nothing was measured."""
        if not self.weight:
            return _LEAST
        mean = self.total / self.weight
        deviation = math.sqrt(max(0.0, self.squares / self.weight - mean * mean))
        return max(_LEAST, mean + 0.5 * deviation)


@dataclass(frozen=True, slots=True)
class SynthesisPace:
    """How long a synthesiser takes to make a clause in pieces, measured while it speaks.

    ``context``: sound that is made with each piece in addition. ``first``: length of a reply's
    first piece; ``shortest`` and ``longest``: of the others. If they are infinite, a clause is one
    piece.
    """

    context: float
    first: float
    shortest: float
    longest: float
    _reading: _Average = field(default_factory=_Average)
    _making: _Average = field(default_factory=_Average)

    def read(self, sound: float, took: float) -> None:
        """Note how long reading a clause of so much ``sound`` took, before its first piece."""
        self._reading.add(took / sound)

    def made(self, sound: float, took: float) -> None:
        """Note how long a piece took, ``sound`` with its context."""
        self._making.add(took / sound)

    @property
    def known(self) -> bool:
        """Whether anything was made yet."""
        return self._making.weight > 0

    def length(self, ahead: float, rest: float) -> float:
        """Return the length of the next piece of ``rest``, to be made while ``ahead`` is played."""
        return self._length(ahead, rest, self._making.expected)

    def fit(self, length: float, rest: float) -> float:
        """Return ``length``, or all of ``rest`` if too little of it would be left."""
        return rest if rest - length < self.shortest else length

    def takes(self, length: float) -> float:
        """Return how long a piece of this length takes."""
        return (length + self.context) * self._making.expected

    def made_in(self, wait: float) -> float:
        """Return the length of a piece that takes ``wait``, within the bounds of pieces."""
        made = wait / self._making.expected - self.context
        return min(max(made, self.shortest), self.longest)

    def lasts(self, ahead: float, rest: float, later: Sequence[float]) -> bool:
        """Return whether ``ahead``, played from now on, ends at no moment before more is made.

        ``rest``: of the clause in work. ``later``: clauses after it.
        """
        reading, making = self._reading.expected, self._making.expected
        for number, clause in enumerate((rest, *later)):
            left, allowed = clause, 0.0
            if number:
                ahead, allowed = ahead - reading * clause, -_PAUSE
            while left > 0:
                length = self._length(ahead, left, making)
                ahead -= (length + self.context) * making
                if ahead < allowed:
                    return False
                ahead, allowed = max(ahead, 0.0) + length, 0.0
                left -= length
        return True

    def _length(self, ahead: float, rest: float, making: float) -> float:
        wanted = ahead / (making * _SLOWER) - self.context
        return self.fit(min(max(wanted, self.shortest), self.longest), rest)


class HeadStart(Generic[T]):
    """Holds the sound of one reply back until it plays without a gap as far as the reply is known.

    Does so again when the sound has run dry. ``pace``: of the voice; None: nothing is held.
    ``later``: returns the lengths of the clauses that are known and not begun.
    """

    def __init__(
        self,
        pace: SynthesisPace | None = None,
        later: Callable[[], Sequence[float]] = tuple,
        clock: Callable[[], float] | None = None,
    ) -> None:
        self._pace = pace
        self._later = later
        self._clock = clock or time.perf_counter
        self._held: list[T] = []
        self._ready = 0.0
        self._clause = 0.0
        self._since = 0.0
        self._ends_at = -math.inf

    def length(self, rest: float) -> float:
        """Return how long the next piece of a clause should be, of which ``rest`` is not made."""
        pace, now = self._pace, self._clock()
        if pace is None:
            return rest
        if not pace.known:
            return pace.fit(pace.first, rest)
        if not self._held and now < self._ends_at:
            ahead = self._ends_at - now
            length = pace.length(ahead, rest)
            if pace.takes(length) <= ahead:
                return length
        length = pace.shortest if self._held else pace.first
        left = self._wait_left(now)
        later = self._later() if left else ()
        while length < min(pace.longest, rest):
            if left and pace.takes(length) > max(left, pace.takes(pace.first)):
                return pace.fit(pace.longest, rest)
            if pace.lasts(self._ready + length, rest - length, later):
                break
            length += _STEP
        return pace.fit(length, rest)

    def add(self, item: T, sound: float, share: float) -> list[T]:
        """Take in ``item`` with so much ``sound``; return what may be played now.

        ``share``: of its clause that ends with it.
        """
        now = self._clock()
        self._clause += sound
        rest = self._clause * (1 / share - 1)
        if not self._held:
            if self._pace is None or now < self._ends_at:
                self._ends_at += sound
                return [item]
            self._since = now
        self._held.append(item)
        self._ready += sound
        return self._release(now, rest)

    def end_clause(self) -> list[T]:
        """Return what may be played now that no more of the clause comes."""
        now, self._clause = self._clock(), 0.0
        if not self._held:
            return []
        released = self._release(now, 0.0)
        return released if released or self._gains_by_waiting(now) else self._let_go(now)

    def end(self) -> list[T]:
        """Return what is still held."""
        return self._let_go(self._clock())

    def _wait_left(self, now: float) -> float:
        """Return how long later clauses are still waited for."""
        return max(0.0, LONGEST_WAIT_S - (now - self._since)) if self._held else LONGEST_WAIT_S

    def _gains_by_waiting(self, now: float) -> bool:
        """Return whether all plays without a gap once a part of the next clause is made, too."""
        clause, *later = self._later() or (0.0,)
        if self._pace is None or not clause:
            return False
        made = min(self._pace.made_in(self._wait_left(now)), clause)
        return self._pace.lasts(self._ready + made, clause - made, later)

    def _release(self, now: float, rest: float) -> list[T]:
        pace, left = self._pace, self._wait_left(now)
        late = not left and self._ready > self._clause
        later = self._later() if left else ()
        if pace is not None and not late and not pace.lasts(self._ready, rest, later):
            return []
        return self._let_go(now)

    def _let_go(self, now: float) -> list[T]:
        held, self._held = self._held, []
        self._ends_at, self._ready = now + self._ready, 0.0
        return held
