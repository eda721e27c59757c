"""Measure four turn-taking behaviours of a network trained on tones, through the real loop.

Each trial has a new user, room and speech, from seeds that training never saw. The user reacts: a
backchannel or an interruption comes over a reply that has begun. A trial succeeds if:

- turn: SHIFT comes within ``PATIENCE`` chunks after the turn's end, and not before.
- pause: no SHIFT comes before the turn's end, despite a pause of 0.5 to 1.6 s.
- backchannel: no BREAK comes within ``PATIENCE`` chunks after a hum begins over the reply.
- interruption: BREAK comes within ``PATIENCE`` chunks after speech begins over the reply, and not
  before.

A trial also fails if the reply to speak over does not begin, or ends too early.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.random import Generator

from audio_io.signal import Audio
from model.duplex.network.loop import ChunkStep, DuplexLoop
from model.duplex.protocol.grammar import AssistantState
from model.duplex.protocol.profile import DuplexProfile
from model.duplex.tones.tones import ROOM, ToneSpeaker, Track, hum, phrase, speaker

PATIENCE = 6
"""Chunks (0.96 s at 160 ms) within which the network has to react."""
LONGEST_REPLY = 30
"""In chunks."""

HELD_OUT = 1_000_000
"""Training uses no seeds from here on."""


class Listener(Protocol):
    """Hears chunks and decides when to speak."""

    def begin(self, seed: int) -> None:
        """Start a new dialogue."""

    def hear(self, chunk: Audio) -> AssistantState:
        """Return the state after ``chunk`` (chunk_samples,)."""


class LoopListener:
    """A network, through its loop. ``deaf``: it hears silence instead. ``steps``: those of the
    dialogue."""

    def __init__(self, loop: DuplexLoop, *, deaf: bool = False) -> None:
        self._loop = loop
        self._deaf = deaf
        self.state = loop.start()
        self.steps: list[ChunkStep] = []

    def begin(self, seed: int) -> None:
        """Start a new dialogue."""
        self.steps = []
        self.state = self._loop.start(seed, self.state.context)

    def hear(self, chunk: Audio) -> AssistantState:
        """Run one step of the loop."""
        heard = np.zeros_like(chunk) if self._deaf else chunk
        step, self.state = self._loop.step(self.state, heard)
        self.steps.append(step)
        return step.after


class ChanceListener:
    """Hears nothing; begins and stops at the rates of the training set."""

    def __init__(self, shift: float, stop: float) -> None:
        self._shift, self._stop = shift, stop
        self.begin(0)

    def begin(self, seed: int) -> None:
        """Start a new dialogue."""
        self._random = np.random.default_rng(seed)
        self._state = AssistantState()

    def hear(self, chunk: Audio) -> AssistantState:
        """Begin or stop by chance."""
        before, chance = self._state, self._random.random()
        if before.speaking:
            stops = chance < self._stop
            self._state = AssistantState() if stops else AssistantState(True, before.chunks + 1)
        elif chance < self._shift:
            self._state = AssistantState(True, 1)
        return self._state


@dataclass(frozen=True, slots=True)
class Trial:
    """``latency``: chunks from the user's action to the network's, if any."""

    success: bool
    latency: int | None = None


def measure(listener: Listener, profile: DuplexProfile, behaviour: str, trials: int) -> list[Trial]:
    """Run ``trials`` of ``behaviour``, each in a conversation of its own."""
    first = HELD_OUT + BEHAVIOURS.index(behaviour) * trials
    run = _TRIALS[behaviour]
    return [run(Scene(listener, profile, seed)) for seed in range(first, first + trials)]


def measure_conversation(
    listener: Listener, profile: DuplexProfile, trials: int, seed: int = 2 * HELD_OUT
) -> list[Trial]:
    """Run ``trials`` of alternating behaviours in one conversation with one user, to see whether a
    network still behaves once it has forgotten the start."""
    scene = Scene(listener, profile, seed)
    done = []
    for number in range(trials):
        done.append(_TRIALS[BEHAVIOURS[number % len(BEHAVIOURS)]](scene))
        scene.rest()
    return done


class Scene(Track):
    """A user who speaks to ``listener``, chunk by chunk."""

    def __init__(self, listener: Listener, profile: DuplexProfile, seed: int) -> None:
        super().__init__(profile)
        self.random: Generator = np.random.default_rng(seed)
        self.who: ToneSpeaker = speaker(self.random)
        self._listener = listener
        self._size = profile.chunk_samples
        self._room = np.random.default_rng((seed, 1))
        self._noise = 10 ** (self.random.uniform(*ROOM) / 20)
        self.heard = 0
        """Chunks so far."""
        self._speaking = False
        listener.begin(seed)

    def run(self, until: int) -> Iterator[tuple[int, AssistantState]]:
        """Yield each chunk's number and the state after it, up to and including ``until``."""
        while self.heard <= until:
            self.wait_for(self.heard + 1)
            whole = np.concatenate(self.parts)
            self.parts = [whole[self._size :]]
            room = self._room.normal(0, self._noise, self._size).astype(np.float32)
            state = self._listener.hear(whole[: self._size] + room)
            self.heard += 1
            self._speaking = state.speaking
            yield self.heard - 1, state

    def first(self, until: int, *, speaking: bool) -> int | None:
        """Return the first chunk after which the assistant is (not) speaking, if there is one."""
        return next((n for n, state in self.run(until) if state.speaking is speaking), None)

    def rest(self) -> None:
        """Run until any reply that is due has ended."""
        if not self._speaking:
            self.first(self.chunk + PATIENCE, speaking=True)
        self.first(self.heard + LONGEST_REPLY, speaking=False)


def _ask(scene: Scene) -> tuple[int, int | None]:
    """Say a turn; return the chunk of its end, and SHIFT's if it comes in time."""
    scene.wait(scene.random.uniform(0.1, 1.2))
    scene.say(phrase(scene.who, scene.random, int(scene.random.integers(3, 8)), final=True))
    end = scene.chunk
    shift = scene.first(end + PATIENCE, speaking=True)
    return end, None if shift is None or shift < end else shift


def _turn(scene: Scene) -> Trial:
    end, shift = _ask(scene)
    return Trial(False) if shift is None else Trial(True, shift - end)


def _pause(scene: Scene) -> Trial:
    scene.wait(scene.random.uniform(0.1, 1.2))
    scene.say(phrase(scene.who, scene.random, int(scene.random.integers(2, 6)), final=False))
    scene.wait(scene.random.uniform(0.5, 1.6))
    scene.say(phrase(scene.who, scene.random, int(scene.random.integers(3, 8)), final=True))
    return Trial(scene.first(scene.chunk - 1, speaking=True) is None)


def _over_a_reply(scene: Scene) -> int | None:
    """Let a reply run for 3 to 6 chunks; return the next chunk, or None if it did not last."""
    _, shift = _ask(scene)
    if shift is None:
        return None
    if scene.first(shift + int(scene.random.integers(3, 7)), speaking=False) is not None:
        return None
    scene.wait(scene.random.uniform(0.0, 0.15))
    return scene.next_chunk


def _backchannel(scene: Scene) -> Trial:
    begin = _over_a_reply(scene)
    if begin is None:
        return Trial(False)
    scene.say(hum(scene.who, scene.random))
    return Trial(scene.first(begin + PATIENCE, speaking=False) is None)


def _interruption(scene: Scene) -> Trial:
    begin = _over_a_reply(scene)
    if begin is None:
        return Trial(False)
    scene.say(phrase(scene.who, scene.random, int(scene.random.integers(6, 9)), final=True))
    stop = scene.first(begin + PATIENCE, speaking=False)
    if stop is None or stop < begin:
        return Trial(False)
    return Trial(True, stop - begin)


_TRIALS: Mapping[str, Callable[[Scene], Trial]] = {
    "turn": _turn,
    "pause": _pause,
    "backchannel": _backchannel,
    "interruption": _interruption,
}
BEHAVIOURS = tuple(_TRIALS)
