"""Measure `covo serve` by clients that talk to it, misbehave beside others, or come and vanish.

The server has a process of its own. What the wire adds to the latency is measured from the moment
at which a client has sent the sound that the engine had heard when it made its first sound, to the
moment at which that sound has come back.
"""

from __future__ import annotations

import asyncio
import math
import statistics
import time
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

import numpy as np
from websockets.exceptions import WebSocketException

from audio_io.clock import ASSISTANT_RATE, USER_RATE
from audio_io.resample import resample
from covo_cli.bench.figures import machine, summary
from covo_cli.bench.goals import Goal, judge
from covo_cli.bench.serving.caller import Caller, CallerFigures, as_pieces
from covo_cli.bench.serving.misbehaving import WITH_A_PLACE, Misbehaved, misbehave
from covo_cli.bench.serving.served import ServedProcess, ServerState
from covo_cli.bench.serving.vanishing import come_and_vanish
from covo_cli.bench.soak.flatness import FEWEST, MOST_RISE, rise
from covo_cli.bench.soak.subject import recorded_lines
from covo_cli.serve.handshake import new_token
from covo_cli.serve.places import QUEUE
from covo_cli.settings.settings import Settings
from model.jobs.processes import WorkerProcesses

ADDED_AT_MOST_S = 0.06
REST_S = 20.0
"""Time in which whatever a client left behind must be gone."""

_HELD = ("threads", "tasks", "open_files", "busy", "queued")
_FIRST_VISITS = 60
"""Clients that come before the threads are counted: an engine's threads start with the first work
for each, and stay."""

MOST_HELD_MB = 250.0
"""Memory that clients which misbehave may take at once: 50 MB for a message, sound, items and
answers of each that has a place."""

GOALS = (
    Goal("added by the wire, median, seconds", ADDED_AT_MOST_S, lambda f: f["added"]["median"]),
    Goal("gaps in replies", 0, lambda f: f["gaps"]),
    Goal("sessions that broke off, and errors", 0, lambda f: len(f["failures"])),
    Goal("rise of memory, as a share", MOST_RISE, lambda f: f["memory"]["rise"]),
    Goal("places lost", 0, lambda f: f["places_lost"]),
)
MISBEHAVING_GOALS = (
    Goal(
        "clients that misbehaved and were not dealt with",
        0,
        lambda f: sum(kind["not_dealt_with"] for kind in f["misbehaved"].values()),
    ),
    Goal("memory taken at once, MB", MOST_HELD_MB, lambda f: f["memory"]["taken_mb"]),
)
VANISHING_GOALS = (Goal("left behind by clients", 0, lambda f: sum(f["left_behind"].values())),)


@dataclass(frozen=True, slots=True)
class ServeBench:
    """``sessions`` of ``engine`` at once for ``minutes``; then ``vanishing`` clients.

    ``settle``: minutes in which caches and heaps may fill. ``misbehaving``: beside the sessions,
    clients misbehave.
    """

    engine: str
    sessions: int
    minutes: float
    vanishing: int
    settle: float = 2.0
    seed: int = 1
    misbehaving: bool = False

    @property
    def places(self) -> int:
        """Places of the server."""
        return self.sessions + (WITH_A_PLACE if self.misbehaving else 0)

    @property
    def interval(self) -> float:
        """Seconds for one figure: a minute, or less in a run below 20 minutes."""
        return min(60.0, 3 * self.minutes)


@dataclass
class _Watched:
    """The server's memory, the median of each interval, and the most of it and the rest."""

    megabytes: list[float] = field(default_factory=list)
    minutes: list[float] = field(default_factory=list)
    least_megabytes: float = math.inf
    most_megabytes: float = 0.0
    threads: int = 0
    open_files: int = 0


def measure_serving(
    bench: ServeBench, settings: Settings, progress: Callable[[str], None] = lambda text: None
) -> dict[str, Any]:
    """Serve and talk; return JSON-ready figures. Raises: CliError."""
    token = new_token()
    questions = [
        as_pieces(resample(line.audio, USER_RATE, ASSISTANT_RATE))
        for line in recorded_lines()
        if line.text
    ]
    progress("loading the engines")
    with ServedProcess(settings, bench.engine, bench.places, token) as server:
        progress(f"{bench.sessions} sessions for {bench.minutes:g} minutes")
        callers, watched, misbehaved = asyncio.run(_talk(bench, server, token, questions))
        talked = server.state
        if bench.vanishing:
            progress(f"{bench.vanishing} clients come and vanish")
        left, before, after = asyncio.run(_vanish(bench, server, token, questions[0]))
    figures = {
        "machine": machine(),
        "engine": bench.engine,
        "sessions": bench.sessions,
        "minutes": bench.minutes,
        "asked": callers.asked,
        "answered": callers.answered,
        "added": summary(callers.added or [np.nan], median=50, p90=90, max=100),
        "latency_of_the_engine": summary(callers.totals or [np.nan], median=50, p90=90, max=100),
        "gaps": callers.gaps,
        "gaps_by_the_server": talked.gaps,
        "late_steps": talked.late_steps,
        "failures": callers.errors,
        "memory": _flat(bench, watched),
        "most": {"threads": watched.threads, "open_files": watched.open_files},
        "misbehaved": {kind: asdict(clients) for kind, clients in misbehaved.items()},
        "vanished": dict(left),
        "left_behind": {
            name: max(0, getattr(after, name) - getattr(before, name)) for name in _HELD
        },
        "threads_left": sorted((Counter(after.names) - Counter(before.names)).elements()),
        "places_lost": bench.places - after.places,
        "by_interval": {"minutes": watched.minutes, "memory_mb": watched.megabytes},
    }
    goals = judge(GOALS, figures, counts=bool(callers.added))
    if bench.misbehaving:
        goals += judge(MISBEHAVING_GOALS, figures, counts=True)
    if bench.vanishing:
        goals += judge(VANISHING_GOALS, figures, counts=True)
    return {**figures, "goals": goals}


async def _talk(
    bench: ServeBench, server: ServedProcess, token: str, questions: Sequence[Sequence[str]]
) -> tuple[CallerFigures, _Watched, dict[str, Misbehaved]]:
    found, watched = CallerFigures(), _Watched()
    address = f"ws://127.0.0.1:{server.port}/v1/realtime?model=covo&covo=1"
    until = time.monotonic() + 60 * bench.minutes

    async def call(number: int) -> None:
        caller = Caller(questions, found, np.random.default_rng([bench.seed, number]))
        try:
            await caller.call(address, token, until)
        except* (OSError, WebSocketException) as errors:
            found.errors += [f"{type(error).__name__}: {error}" for error in errors.exceptions]

    watching = asyncio.create_task(_watch(bench, server, until, watched))
    async with asyncio.TaskGroup() as calls:
        for number in range(bench.sessions):
            calls.create_task(call(number))
        misbehaving = calls.create_task(_misbehave(bench, server, token, until))
    await watching
    return found, watched, misbehaving.result()


async def _misbehave(
    bench: ServeBench, server: ServedProcess, token: str, until: float
) -> dict[str, Misbehaved]:
    """Let clients misbehave in a process of their own, so that they hold up no caller."""
    if not bench.misbehaving:
        return {}
    work = (server.port, token, until - time.monotonic(), bench.seed)
    with WorkerProcesses(1) as process:
        return await asyncio.get_running_loop().run_in_executor(process, misbehave, *work)


async def _watch(bench: ServeBench, server: ServedProcess, until: float, found: _Watched) -> None:
    """Read the gauges once a second, and keep one figure for each interval."""
    begun, readings = time.monotonic(), list[float]()
    while (now := time.monotonic()) < until:
        state = await asyncio.to_thread(lambda: server.state)
        readings.append(state.megabytes)
        found.least_megabytes = min(found.least_megabytes, state.megabytes)
        found.most_megabytes = max(found.most_megabytes, state.megabytes)
        found.threads = max(found.threads, state.threads)
        found.open_files = max(found.open_files, state.open_files)
        if now - begun >= bench.interval * (len(found.minutes) + 1):
            found.minutes.append(round((now - begun) / 60, 2))
            found.megabytes.append(round(statistics.median(readings), 2))
            readings.clear()
        await asyncio.sleep(min(1.0, max(0.0, until - now)))


def _flat(bench: ServeBench, watched: _Watched) -> dict[str, float | None]:
    """Return the memory's most beyond its least, and its median and its rise after the settling,
    None if that was too short."""
    taken = round(watched.most_megabytes - watched.least_megabytes, 2)
    pairs = zip(watched.minutes, watched.megabytes, strict=True)
    kept = [megabytes for minutes, megabytes in pairs if minutes > bench.settle]
    if len(kept) < FEWEST:
        return {"median_mb": None, "rise": None, "taken_mb": taken}
    median = statistics.median(kept)
    return {"median_mb": median, "rise": round(rise(kept) / median, 4), "taken_mb": taken}


async def _vanish(
    bench: ServeBench, server: ServedProcess, token: str, question: Sequence[str]
) -> tuple[dict[str, int], ServerState, ServerState]:
    """Return how the clients left, and the server's state before and after them."""
    rng, at_once = np.random.default_rng([bench.seed, 1_000_000]), bench.places + QUEUE

    async def visits(count: int) -> dict[str, int]:
        return await come_and_vanish(server.port, token, count, at_once, question, rng)

    if bench.vanishing:
        await visits(min(bench.vanishing, _FIRST_VISITS + bench.places))
    before = await _rest(server, None)
    left = await visits(bench.vanishing)
    return left, before, await _rest(server, before)


async def _rest(server: ServedProcess, before: ServerState | None) -> ServerState:
    """Wait until nobody is served and no more is held than before; return the state then."""
    end = time.monotonic() + REST_S
    while True:
        state = server.state
        held = before is not None and any(
            getattr(state, name) > getattr(before, name) for name in _HELD
        )
        if not (state.busy or held) or time.monotonic() > end:
            return state
        await asyncio.sleep(0.2)
