"""Does a network trained on tones take turns? The four behaviours, counted through the real loop.

Every trial is a new user, a new room and new speech, from seeds that training never saw, and the
user reacts: a backchannel or an interruption comes over a reply that has really begun. What counts:

- turn: SHIFT comes after the turn's end, within ``PATIENCE`` chunks, and not before.
- pause: no SHIFT before the turn's end, though it has a pause of 0.5 to 1.6 s.
- backchannel: no BREAK within ``PATIENCE`` chunks after a hum began over the reply.
- interruption: BREAK within ``PATIENCE`` chunks after speech began over the reply, not before.

A trial in which the reply that is to be spoken over never begins, or ends before, is a failure.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Protocol

import numpy as np
from numpy.random import Generator

from audio_io.signal import Audio
from model.duplex.network.loop import ChunkStep, DuplexLoop, LoopState
from model.duplex.protocol.grammar import Turn
from model.duplex.protocol.profile import DuplexProfile
from model.duplex.tones.tones import ROOM, Speaker, hum, phrase, silence, speaker

BEHAVIOURS = ("turn", "pause", "backchannel", "interruption")
PATIENCE = 6
"""Chunks (0.96 s of 160 ms) in which the network has to do what it is to do."""
_LONGEST_REPLY = 30

HELD_OUT = 1_000_000
"""Seeds from here on are never trained on."""


class Listener(Protocol):
    """Something that hears chunks and says whether it speaks."""

    def begin(self, seed: int) -> None:
        """A new dialogue begins."""

    def hear(self, chunk: Audio) -> Turn:
        """The turn after ``chunk`` (chunk_samples,)."""


class LoopListener:
    """The network, through its loop. ``deaf``: it is given silence instead."""

    def __init__(self, loop: DuplexLoop, *, deaf: bool = False) -> None:
        self._loop = loop
        self._deaf = deaf
        self._state: LoopState | None = None
        self.steps: list[ChunkStep] = []

    @property
    def forgotten(self) -> int:
        """Tokens of this dialogue that the network has forgotten."""
        return self._state.context.forgotten if self._state else 0

    def begin(self, seed: int) -> None:
        """A new dialogue begins."""
        self._state = self._loop.start(seed)
        self.steps = []

    def hear(self, chunk: Audio) -> Turn:
        """One step of the loop."""
        state = self._state or self._loop.start()
        heard = np.zeros_like(chunk) if self._deaf else chunk
        step, self._state = self._loop.step(state, heard)
        self.steps.append(step)
        return step.turn


class ChanceListener:
    """Hears nothing: begins and stops as often as the dialogues of the training set do."""

    def __init__(self, shift: float, stop: float) -> None:
        self._shift, self._stop = shift, stop
        self._random = np.random.default_rng()
        self._turn = Turn()

    def begin(self, seed: int) -> None:
        """A new dialogue begins."""
        self._random = np.random.default_rng(seed)
        self._turn = Turn()

    def hear(self, chunk: Audio) -> Turn:
        """Toss a coin."""
        if self._turn.speaking:
            stops = self._random.random() < self._stop
            self._turn = Turn() if stops else Turn(True, self._turn.chunks + 1)
        elif self._random.random() < self._shift:
            self._turn = Turn(True, 1)
        return self._turn


@dataclass(frozen=True, slots=True)
class Trial:
    """``latency``: chunks from what happened to what the network did, where there is such."""

    success: bool
    latency: int | None = None


@dataclass(frozen=True, slots=True)
class BehaviourFigures:
    """Of ``trials``, how many were right; the ``latencies`` of those, in chunks."""

    trials: int
    successes: int
    latencies: tuple[int, ...] = field(repr=False)

    @property
    def rate(self) -> float:
        """Share that was right."""
        return self.successes / self.trials


def measure(
    listener: Listener,
    profile: DuplexProfile,
    trials: int,
    progress: Callable[[str], None] = lambda behaviour: None,
) -> Mapping[str, BehaviourFigures]:
    """``trials`` of each behaviour; ``progress`` is told after each."""
    figures = {}
    for number, behaviour in enumerate(BEHAVIOURS):
        done = []
        for trial in range(trials):
            seed = HELD_OUT + number * trials + trial
            done.append(_TRIALS[behaviour](_Scene(listener, profile, seed)))
            progress(behaviour)
        right = [one for one in done if one.success]
        latencies = tuple(one.latency for one in right if one.latency is not None)
        figures[behaviour] = BehaviourFigures(trials, len(right), latencies)
    return figures


def measure_conversation(
    listener: Listener, profile: DuplexProfile, trials: int, seed: int = 2 * HELD_OUT
) -> tuple[Trial, ...]:
    """So many trials, the behaviours in turn, all in one conversation with one user: does a network
    still behave when it has forgotten how the conversation began?"""
    scene = _Scene(listener, profile, seed)
    done = []
    for number in range(trials):
        done.append(_TRIALS[BEHAVIOURS[number % len(BEHAVIOURS)]](scene))
        scene.rest()
    return tuple(done)


class _Scene:
    """A user who speaks, and the chunks of what was heard of it."""

    def __init__(self, listener: Listener, profile: DuplexProfile, seed: int) -> None:
        self.random: Generator = np.random.default_rng(seed)
        self.who: Speaker = speaker(self.random)
        self._listener = listener
        self._size = profile.chunk_samples
        self._room = np.random.default_rng((seed, 1))
        self._noise = 10 ** (self.random.uniform(*ROOM) / 20)
        self._waiting: list[Audio] = []
        self._samples = 0
        self._heard = 0
        self._speaking = False
        listener.begin(seed)

    def say(self, audio: Audio) -> None:
        """Speak; it is heard when :meth:`run` comes to it."""
        self._waiting.append(audio)
        self._samples += len(audio)

    @property
    def end(self) -> int:
        """The chunk that holds the last sample that was said."""
        return (self._samples - 1) // self._size

    @property
    def next(self) -> int:
        """The chunk that will hold the next sample."""
        return self._samples // self._size

    def run(self, until: int) -> Iterator[tuple[int, Turn]]:
        """Hear on, up to and including chunk ``until``; the chunks and the turns after them."""
        while self._heard <= until:
            short = (self._heard + 1) * self._size - self._samples
            if short > 0:
                self.say(np.zeros(short, np.float32))
            whole = np.concatenate(self._waiting)
            self._waiting = [whole[self._size :]]
            room = self._room.normal(0, self._noise, self._size).astype(np.float32)
            turn = self._listener.hear(whole[: self._size] + room)
            self._heard += 1
            self._speaking = turn.speaking
            yield self._heard - 1, turn

    def first(self, until: int, *, speaking: bool) -> int | None:
        """Hear on to the first chunk after which the assistant speaks, or does not."""
        return next((n for n, turn in self.run(until) if turn.speaking is speaking), None)

    def rest(self) -> None:
        """Hear on until a reply that is due has come, and is over."""
        if not self._speaking:
            self.first(self.end + PATIENCE, speaking=True)
        self.first(self._heard + _LONGEST_REPLY, speaking=False)


def _turn(scene: _Scene) -> Trial:
    scene.say(silence(scene.random.uniform(0.1, 1.2)))
    scene.say(phrase(scene.who, scene.random, int(scene.random.integers(3, 8)), final=True))
    end = scene.end
    shift = scene.first(end + PATIENCE, speaking=True)
    if shift is None or shift < end:
        return Trial(False)
    return Trial(True, shift - end)


def _pause(scene: _Scene) -> Trial:
    scene.say(silence(scene.random.uniform(0.1, 1.2)))
    scene.say(phrase(scene.who, scene.random, int(scene.random.integers(2, 6)), final=False))
    scene.say(silence(scene.random.uniform(0.5, 1.6)))
    scene.say(phrase(scene.who, scene.random, int(scene.random.integers(3, 8)), final=True))
    return Trial(scene.first(scene.end - 1, speaking=True) is None)


def _over_a_reply(scene: _Scene) -> int | None:
    """Let the reply begin and go on for 3 to 6 chunks; None if it does not."""
    scene.say(silence(scene.random.uniform(0.1, 1.2)))
    scene.say(phrase(scene.who, scene.random, int(scene.random.integers(3, 8)), final=True))
    shift = scene.first(scene.end + PATIENCE, speaking=True)
    if shift is None or shift < scene.end:
        return None
    wait = int(scene.random.integers(3, 7))
    stop = scene.first(shift + wait, speaking=False)
    if stop is not None:
        return None
    scene.say(silence(scene.random.uniform(0.0, 0.15)))
    return scene.next


def _backchannel(scene: _Scene) -> Trial:
    begin = _over_a_reply(scene)
    if begin is None:
        return Trial(False)
    scene.say(hum(scene.who, scene.random))
    return Trial(scene.first(begin + PATIENCE, speaking=False) is None)


def _interruption(scene: _Scene) -> Trial:
    begin = _over_a_reply(scene)
    if begin is None:
        return Trial(False)
    scene.say(phrase(scene.who, scene.random, int(scene.random.integers(6, 9)), final=True))
    stop = scene.first(begin + PATIENCE, speaking=False)
    if stop is None or stop < begin:
        return Trial(False)
    return Trial(True, stop - begin)


_TRIALS: Mapping[str, Callable[[_Scene], Trial]] = {
    "turn": _turn,
    "pause": _pause,
    "backchannel": _backchannel,
    "interruption": _interruption,
}
