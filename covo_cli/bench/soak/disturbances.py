"""What goes wrong in a soak: keys pressed and devices lost, at random from a seed."""

from __future__ import annotations

import heapq
from collections import Counter
from collections.abc import Callable, Sequence
from itertools import count

import numpy as np

from audio_io.clock import samples
from audio_io.ends import Microphone, Speaker
from covo_cli.conversation.consumer import Tick
from covo_cli.conversation.request import Request
from covo_cli.screen.keys import KeyMachine
from covo_cli.simulation.sound_card import SoundCard

MEAN_GAP_S = 12.0
"""Mean time between two disturbances."""


class Disturbances:
    """A consumer that disturbs the conversation; :attr:`done` counts how often, by kind.

    Keys go through ``keys`` to :attr:`send`, as a person's do. ``texts`` are typed.
    """

    def __init__(
        self,
        keys: KeyMachine,
        card: SoundCard,
        ends: tuple[Microphone, Speaker],
        texts: Sequence[str],
        rng: np.random.Generator,
    ) -> None:
        self.send: Callable[[Request], None] = lambda request: None
        self.done: Counter[str] = Counter()
        self._keys = keys
        self._card = card
        self._ends = ends
        self._texts = texts
        self._rng = rng
        self._order = count()
        self._planned: list[tuple[int, int, Callable[[Tick], None]]] = []
        self._kinds: dict[str, Callable[[Tick], None]] = {
            "interrupted by key": lambda tick: self._press("i"),
            "voice changed": lambda tick: self._press("v"),
            "muted": self._mute,
            "typed": self._type,
            "push-to-talk": self._push_to_talk,
            "device unplugged": self._unplug,
            "device stalled": self._stall,
        }
        self._plan(0, self._gap(), self._disturb)

    def on_tick(self, tick: Tick) -> None:
        """Do what is due."""
        while self._planned and self._planned[0][0] <= tick.at:
            heapq.heappop(self._planned)[2](tick)

    def _disturb(self, tick: Tick) -> None:
        kind = str(self._rng.choice(list(self._kinds)))
        self.done[kind] += 1
        self._kinds[kind](tick)
        self._plan(tick.at, self._gap(), self._disturb)

    def _gap(self) -> float:
        return float(self._rng.exponential(MEAN_GAP_S))

    def _plan(self, at: int, seconds: float, action: Callable[[Tick], None]) -> None:
        heapq.heappush(self._planned, (at + samples(seconds), next(self._order), action))

    def _press(self, *keys: str) -> None:
        for key in keys:
            for request in self._keys.feed(key):
                self.send(request)

    def _type(self, tick: Tick) -> None:
        self._press("t", *str(self._rng.choice(self._texts)), "KEY_ENTER")

    def _mute(self, tick: Tick) -> None:
        def unmute(later: Tick) -> None:
            if later.muted:  # push-to-talk unmutes, too
                self._press("m")

        if not tick.muted:
            self._press("m")
            self._plan(tick.at, self._rng.uniform(1, 10), unmute)

    def _push_to_talk(self, tick: Tick) -> None:
        def release(later: Tick) -> None:
            if later.talking:
                self._press(" ")

        if not tick.talking:
            self._press(" ")
            self._plan(tick.at, self._rng.uniform(0.5, 5), release)

    def _unplug(self, tick: Tick) -> None:
        name = self._device()
        self._card.unplug(name)
        back = self._rng.uniform(0.2, 12)
        self._plan(tick.at, back, lambda later: self._card.plug_in(name))

    def _stall(self, tick: Tick) -> None:
        name = self._device()
        self._card.stall(name)
        back = self._rng.uniform(0.2, 4)
        self._plan(tick.at, back, lambda later: self._card.wake(name))

    def _device(self) -> str:
        return self._ends[int(self._rng.integers(2))].status.device
