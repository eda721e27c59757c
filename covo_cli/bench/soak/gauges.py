"""Read the process's gauges while it holds a conversation: memory, threads, queues, step times."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

import numpy as np
import psutil

from audio_io.clock import FRAME, USER_RATE, samples
from audio_io.echo import EchoCanceller
from covo_cli.conversation.consumer import Tick

SILENT = 1e-3
"""Peak of a frame in which nobody speaks."""

PROCESS_GAUGES = ("memory_mb", "threads", "open_files")
YARDSTICKS = {
    "step_quiet_ms": "spare_quiet_ms",
    "step_reply_ms": "spare_reply_ms",
    "step_p99_ms": "spare_reply_ms",
}
"""By gauge of the steps, the one it is compared with. Medians of the steps without sound and of
those with a reply; percentile of all."""


@dataclass(frozen=True, slots=True)
class Queue:
    """A queue to watch: how long it is now, and the most that it holds, in the same unit."""

    length: Callable[[], float]
    limit: float


@dataclass
class Gauges:
    """A consumer that keeps one figure per gauge for every ``interval`` simulated seconds.

    Process gauges are medians of readings one simulated second apart, queues the highest of them. A
    step is one frame of the conversation's thread, in ms of its CPU time, so that waiting does not
    count. Once a second a spare echo canceller, which is new in each interval and so cannot grow,
    takes in a frame after a step of either kind: it shows how the machine's speed drifts, and how
    much what else runs at such times slows a step.
    """

    queues: Mapping[str, Queue]
    interval: float = 60.0
    progress: Callable[[float], None] = lambda minutes: None
    minutes: list[float] = field(default_factory=list)
    """The end of each interval."""
    kept: dict[str, list[float]] = field(default_factory=dict)
    """By gauge: its figure for each interval."""
    _readings: dict[str, list[float]] = field(default_factory=dict)
    _steps: dict[str, list[float]] = field(default_factory=dict)
    _spare: EchoCanceller = field(default_factory=EchoCanceller)
    _compared: set[str] = field(default_factory=set)
    """Kinds of steps that the spare one was compared with in this second."""
    _last: float | None = None
    _process: psutil.Process = field(default_factory=psutil.Process)

    def on_tick(self, tick: Tick) -> None:
        """Time the step; read the gauges once a second."""
        if self._last is not None:
            self._note(tick, 1000 * (time.thread_time() - self._last))
        end = tick.at + FRAME
        if end % USER_RATE == 0:
            self._read()
            self._compared.clear()
        if end % samples(self.interval) == 0:
            self._keep(end / USER_RATE / 60)
        self._last = time.thread_time()  # reading is no part of the next step

    def _note(self, tick: Tick, step: float) -> None:
        self._steps.setdefault("step_p99_ms", []).append(step)
        if tick.assistant.any():
            kind = "step_reply_ms"
        elif not tick.events and float(np.max(np.abs(tick.user))) < SILENT:
            kind = "step_quiet_ms"
        else:
            return
        self._steps.setdefault(kind, []).append(step)
        if kind not in self._compared:
            self._compared.add(kind)
            began = time.thread_time()
            self._spare.process(tick.user, tick.user)
            spare = 1000 * (time.thread_time() - began)
            self._steps.setdefault(YARDSTICKS[kind], []).append(spare)

    def _read(self) -> None:
        process = self._process
        readings = {
            "memory_mb": process.memory_info().rss / 2**20,
            "threads": process.num_threads(),
            "open_files": process.num_fds() if psutil.POSIX else process.num_handles(),
            **{name: queue.length() for name, queue in self.queues.items()},
        }
        for name, value in readings.items():
            self._readings.setdefault(name, []).append(value)

    def _keep(self, minutes: float) -> None:
        figures = {
            name: float(np.max(values) if name in self.queues else np.median(values))
            for name, values in self._readings.items()
        }
        for name in (*YARDSTICKS, *YARDSTICKS.values()):
            percentile = 99 if name == "step_p99_ms" else 50
            figures[name] = float(np.percentile(self._steps.get(name, [0.0]), percentile))
        for name, figure in figures.items():
            self.kept.setdefault(name, []).append(round(figure, 4))
        self.minutes.append(round(minutes, 3))
        self._readings.clear()
        self._steps.clear()
        self._spare = EchoCanceller()
        self.progress(minutes)
