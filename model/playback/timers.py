"""Timers of a conversation: how long they have left, and their ring.

They count the conversation's clock, user samples. A tool sets them (:mod:`model.tools.timer`) on a
thread of its own; the engine tells the time, and says when a ring fits.
"""

from __future__ import annotations

import threading
from dataclasses import dataclass, replace
from functools import cache

import numpy as np

from audio_io.clock import ASSISTANT_RATE, USER_RATE, samples, seconds
from audio_io.levels import from_db
from audio_io.signal import Audio
from model.errors import ToolError
from model.events import TimerRang

MOST_TIMERS = 20
"""Timers at once."""
SHORTEST_S = 1.0
LONGEST_S = 24 * 3600.0
RINGS = 3
"""Times that a timer rings until the user speaks or presses a key."""
AGAIN_S = 5.0
"""From one ring of a timer to its next."""

RING_DB = -20.0
"""Peak of a ring, in dBFS."""
_NOTES_HZ = (659.3, 880.0, 659.3)
_NOTE_S = 0.25
_FADE_S = 0.1
_RISE_S = 0.01
_APART_S = 0.5
"""Silence between the rings of two timers."""


@dataclass(frozen=True, slots=True)
class Timer:
    """A timer of ``length`` seconds that rings at ``due`` (user samples) after ``rang`` rings.
    ``told``: the user has seen that it was set."""

    name: str
    length: float
    due: int
    rang: int = 0
    told: bool = False


class Timers:
    """The timers of one conversation. Thread-safe."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._timers: tuple[Timer, ...] = ()
        self._now = 0
        self._free_at = 0

    def set(self, length: float, name: str = "") -> Timer:
        """Set a timer of ``length`` seconds from now. Without a ``name``, its length is its name.

        Raises: ToolError if it is too short or too long, the name is taken, or there are too many.
        """
        if not SHORTEST_S <= length <= LONGEST_S:
            longest = in_words(LONGEST_S)
            raise ToolError(f"a timer takes {in_words(SHORTEST_S)} to {longest}, not {length:g} s")
        with self._lock:
            taken = {timer.name.casefold() for timer in self._timers}
            if len(taken) >= MOST_TIMERS:
                raise ToolError(f"there are {MOST_TIMERS} timers already: cancel one first")
            if name.casefold() in taken:
                raise ToolError(f"there is a timer {name} already: cancel it, or give another name")
            if not name:
                plain = in_words(length)
                numbered = (f"{plain} ({n})" for n in range(2, MOST_TIMERS + 2))
                name = next(free for free in (plain, *numbered) if free not in taken)
            timer = Timer(name, length, self._now + samples(length))
            self._timers = (*self._timers, timer)
            return timer

    def cancel(self, name: str = "") -> Timer:
        """Cancel the timer ``name``, or the only one there is. Raises: ToolError."""
        with self._lock:
            names = ", ".join(timer.name for timer in self._timers)
            if not names:
                raise ToolError("no timer is set")
            found = [t for t in self._timers if not name or t.name.casefold() == name.casefold()]
            if not found:
                raise ToolError(f"there is no timer {name}, only {names}")
            if len(found) > 1:
                raise ToolError(f"there are several timers, name one of them: {names}")
            self._timers = tuple(timer for timer in self._timers if timer is not found[0])
            return found[0]

    def describe(self) -> tuple[str, ...]:
        """Return each timer with the time that it has left, the next one first."""
        with self._lock:
            return tuple(
                f"{t.name}: {'ringing' if t.due <= self._now or t.rang else self._left(t)}"
                for t in sorted(self._timers, key=lambda t: t.due)
            )

    def tick(self, now: int) -> None:
        """Set the time to ``now`` (user samples)."""
        with self._lock:
            self._now = now

    def told(self) -> None:
        """Start the timers that were set since the last call.

        With a virtual clock, a tool's thread sets a timer before the conversation's time has come
        to that moment, so it runs from the moment at which the call is told.
        """
        with self._lock:
            self._timers = tuple(
                timer
                if timer.told
                else replace(timer, due=self._now + samples(timer.length), told=True)
                for timer in self._timers
            )

    def ring(self, number: int) -> TimerRang | None:
        """Return the ring that is due, for the speaker under ``number``; None if there is none."""
        with self._lock:
            due = [timer for timer in self._timers if timer.due <= self._now]
            if not due or self._now < self._free_at:
                return None
            timer = min(due, key=lambda timer: timer.due)
            rang = timer.rang + 1
            again = replace(timer, due=self._now + samples(AGAIN_S), rang=rang)
            rest = tuple(t for t in self._timers if t is not timer)
            self._timers = (*rest, again) if rang < RINGS else rest
            sound = _ring()
            length = len(sound) * USER_RATE // ASSISTANT_RATE
            self._free_at = self._now + length + samples(_APART_S)
            return TimerRang(self._now, number, sound, timer.name, rang)

    def acknowledge(self) -> None:
        """Stop the timers that have rung from ringing again."""
        with self._lock:
            self._timers = tuple(timer for timer in self._timers if not timer.rang)

    def start_over(self) -> None:
        """Forget all timers; the time begins at 0 again."""
        with self._lock:
            self._timers, self._now, self._free_at = (), 0, 0

    def _left(self, timer: Timer) -> str:
        return f"{in_words(seconds(timer.due - self._now))} left"


def in_words(duration: float) -> str:
    """Return ``duration`` (seconds) in words, such as ``1 hour 5 minutes``, to the second."""
    minutes, second = divmod(max(1, round(duration)), 60)
    hour, minute = divmod(minutes, 60)
    parts = ((hour, "hour"), (minute, "minute"), (second, "second"))
    return " ".join(f"{n} {unit}{'s' * (n > 1)}" for n, unit in parts if n)


@cache
def _ring() -> Audio:
    """Return three soft notes (float32 mono 24 kHz)."""
    at = np.arange(round(_NOTE_S * ASSISTANT_RATE)) / ASSISTANT_RATE
    shape = np.minimum(1.0, at / _RISE_S) * np.exp(-at / _FADE_S)
    shape *= np.minimum(1.0, (at[-1] - at) / _RISE_S)
    sound = np.concatenate([shape * np.sin(2 * np.pi * hz * at) for hz in _NOTES_HZ])
    sound *= from_db(RING_DB) / np.abs(sound).max()
    ring = sound.astype(np.float32)
    ring.flags.writeable = False
    return ring
