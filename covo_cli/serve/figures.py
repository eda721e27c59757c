"""What the server counts: for its status line, its log and Prometheus.

Each thing that happens is also a line of the log, written as ``name key=value``; with
``--json-log`` it is a line of JSON on stdout. Neither has sound, words or tokens.
"""

from __future__ import annotations

import json
import logging
import sys
from datetime import UTC, datetime
from typing import TextIO

from prometheus_client import (
    CONTENT_TYPE_LATEST,
    CollectorRegistry,
    Counter,
    Gauge,
    Histogram,
    ProcessCollector,
    generate_latest,
)

from covo_cli.serve.places import Places
from model.events import TurnLatency

MEDIA_TYPE = CONTENT_TYPE_LATEST
_LATENCIES_S = (0.25, 0.5, 0.75, 1.0, 1.5, 2.0, 3.0, 5.0, 10.0)

log = logging.getLogger(__name__)


class ServerFigures:
    """Counts what happens at ``places``. ``recorded``: sessions are recorded. Thread-safe."""

    def __init__(self, places: Places, *, recorded: bool = False) -> None:
        self._places = places
        self._recorded = recorded
        self._registry = registry = CollectorRegistry()
        for name, text, read in (
            ("covo_sessions", "Places that are taken.", lambda: places.busy),
            ("covo_places", "Places of engines that work.", lambda: places.count),
            ("covo_queued", "Clients that wait for a place.", lambda: places.queued),
        ):
            Gauge(name, text, registry=registry).set_function(read)
        self._ended = Counter(
            "covo_sessions_ended", "Sessions that ended, by reason.", ["reason"], registry=registry
        )
        self._refused = Counter(
            "covo_refused", "Requests refused, by HTTP status.", ["status"], registry=registry
        )
        self._turns = Histogram(
            "covo_turn_seconds",
            "From the end of a turn to the first sound of its reply.",
            buckets=_LATENCIES_S,
            registry=registry,
        )
        self._late = Counter(
            "covo_late_steps", "Frames of 20 ms begun more than 20 ms late.", registry=registry
        )
        self._gaps = Counter(
            "covo_gaps", "Times that a reply's sound was sent too late.", registry=registry
        )
        ProcessCollector(registry=registry)
        self._last: TurnLatency | None = None

    @property
    def status(self) -> str:
        """A line of what goes on."""
        places, last = self._places, self._last
        words = [f"{places.busy} of {places.count} places taken", f"{places.queued} waiting"]
        if places.draining:
            words.insert(0, "stopping when the replies have ended")
        if self._recorded:
            words.append("all recorded")
        if last is not None:
            turns = self._count("covo_turn_seconds_count")
            words.append(f"turn {turns} answered after {last.total:.2f} s")
        if late := self.late_steps:
            words.append(f"{late} late steps")
        return ", ".join(words)

    @property
    def late_steps(self) -> int:
        """How many frames were begun late."""
        return self._count("covo_late_steps_total")

    @property
    def gaps(self) -> int:
        """How often a reply's sound was sent too late."""
        return self._count("covo_gaps_total")

    def metrics(self) -> bytes:
        """Return everything in Prometheus's text format."""
        return generate_latest(self._registry)

    def begin(self, session: str) -> None:
        """Note that a session begins."""
        tell("session_begins", session=session)

    def end(self, session: str, reason: str, duration: float) -> None:
        """Note that a session ended, after ``duration`` seconds of conversation."""
        self._ended.labels(reason).inc()
        tell("session_ends", session=session, reason=reason, seconds=round(duration, 1))

    def refuse(self, status: int, reason: str) -> None:
        """Note a request that was refused."""
        self._refused.labels(str(status)).inc()
        tell("refused", status=status, reason=reason)

    def answer(self, session: str, latency: TurnLatency) -> None:
        """Note an answered turn of ``session``."""
        self._last = latency
        self._turns.observe(latency.total)
        parts = {f"{name}_s": round(part, 3) for name, part in latency.parts.items()}
        tell("turn", session=session, seconds=round(latency.total, 3), **parts)

    def step_late(self) -> None:
        """Note a frame that was begun late."""
        self._late.inc()

    def leave_gap(self) -> None:
        """Note sound that comes after the client has played all that it had."""
        self._gaps.inc()

    def _count(self, name: str) -> int:
        return int(self._registry.get_sample_value(name) or 0)


def tell(happened: str, **fields: str | float) -> None:
    """Log what happened."""
    written = " ".join(f"{key}={value}" for key, value in fields.items())
    log.info("%s %s", happened, written, extra={"happened": happened, "fields": fields})


def log_as_json() -> None:
    """Write what is told from now on to stdout, too."""
    log.addHandler(JsonLines())


class JsonLines(logging.StreamHandler[TextIO]):
    """Writes what is told to stdout, a line of JSON for each. ``stream`` None: ``sys.stdout``."""

    def __init__(self, stream: TextIO | None = None) -> None:
        super().__init__(stream or sys.stdout)
        self.addFilter(lambda record: hasattr(record, "fields"))

    def format(self, record: logging.LogRecord) -> str:
        """Return a record of :func:`tell` as JSON."""
        time = datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds")
        told = record.__dict__
        return json.dumps({"time": time, "event": told["happened"], **told["fields"]})
