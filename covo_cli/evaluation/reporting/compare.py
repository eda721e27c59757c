"""Compare two runs: figures, scenario outcomes and decisions."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass
from itertools import zip_longest
from pathlib import Path
from typing import TYPE_CHECKING

from audio_io.clock import seconds
from covo_cli.evaluation.judging.metric import Metric
from covo_cli.evaluation.judging.statistics import Estimate, difference
from covo_cli.evaluation.reporting.report import Report, new_table, number
from covo_cli.evaluation.running.run import IDENTITY, done
from covo_cli.sessions.event_log import RecordedBackchannel, read_events
from model.events import (
    EndpointJudged,
    Event,
    Interrupted,
    PlaybackControl,
    ReplyFinished,
    ReplyStarted,
    SpeculationDiscarded,
    StateChanged,
    TurnDiscarded,
    UserTranscript,
)

if TYPE_CHECKING:
    from rich.table import Table

_Decision = tuple[int, str]
"""The time in user samples, and what was decided."""


@dataclass(frozen=True, slots=True)
class Difference:
    """A figure in both runs; ``change`` is b minus a, with its interval."""

    metric: Metric
    a: Estimate
    b: Estimate
    change: Estimate

    @property
    def verdict(self) -> str:
        """``better`` or ``worse`` if the interval excludes zero, else empty."""
        if self.change.low <= 0 <= self.change.high:
            return ""
        fell = self.change.value < 0
        return "better" if fell == (self.metric.better == "lower") else "worse"


@dataclass(frozen=True, slots=True)
class Comparison:
    """Run b against run a.

    ``mended``: scenarios that failed only in a; ``broken``: only in b; both with the failure.
    ``differing``: differences in the runs' setup.
    """

    differences: tuple[Difference, ...]
    mended: dict[str, str]
    broken: dict[str, str]
    differing: dict[str, tuple[object, object]]


def compare(a: Report, b: Report) -> Comparison:
    """Compare run ``b`` with run ``a`` on the scenarios they share."""
    before = {metric.key: estimate for metric, estimate in a.estimates()}
    differences = [
        Difference(metric, before[metric.key], estimate, difference(before[metric.key], estimate))
        for metric, estimate in b.estimates()
        if metric.key in before
    ]
    common = {f.scenario for f in a.findings} & {f.scenario for f in b.findings}
    wrong_a, wrong_b = (
        {name: problem for name, problem in report.problems().items() if name in common}
        for report in (a, b)
    )
    values = {key: (getattr(a.run, key), getattr(b.run, key)) for key in IDENTITY}
    return Comparison(
        tuple(differences),
        {name: problem for name, problem in wrong_a.items() if name not in wrong_b},
        {name: problem for name, problem in wrong_b.items() if name not in wrong_a},
        {key: (before, after) for key, (before, after) in values.items() if before != after},
    )


def difference_table(comparison: Comparison) -> Table:
    """Format both runs' figures for the screen."""
    table = new_table("", "A", "B", "B - A", "95 % within", "")
    for row in comparison.differences:
        table.add_row(
            row.metric.label,
            number(row.metric.form, row.a.value),
            number(row.metric.form, row.b.value),
            f"{row.change.value:+.3f}",
            f"{row.change.low:+.2f} to {row.change.high:+.2f}",
            row.verdict,
            style={"better": "green", "worse": "red", "": ""}[row.verdict],
        )
    return table


def different_decisions(a: Path, b: Path) -> dict[str, str]:
    """Return the first difference of each shared conversation whose decisions differ.

    Decisions are states, transcripts, judged silences, starts and ends of replies, with their times
    and reasons.
    """
    ours, theirs = ({folder.name: folder for folder in done(run)} for run in (a, b))
    different = {}
    for name in sorted(ours.keys() & theirs.keys()):
        before, after = _decisions(ours[name]), _decisions(theirs[name])
        kinds = [
            kind for kind in sorted(before.keys() | after.keys()) if before[kind] != after[kind]
        ]
        if kinds:
            different[name] = f"{', '.join(kinds)}; first {_first_difference(before, after)}"
    return different


def _decisions(folder: Path) -> Mapping[str, list[_Decision]]:
    """Return a conversation's decisions by kind."""
    found: dict[str, list[_Decision]] = defaultdict(list)
    for event in read_events(folder).events:
        text = _decision(event)
        if text:
            found[type(event).__name__].append((event.at, text))
    return found


def _first_difference(a: Mapping[str, list[_Decision]], b: Mapping[str, list[_Decision]]) -> str:
    # Sort, since order within a frame does not matter.
    before, after = (sorted(d for kind in run.values() for d in kind) for run in (a, b))
    pairs = zip_longest(before, after)
    return " / ".join(_shown(d) for d in next(pair for pair in pairs if pair[0] != pair[1]))


def _shown(decision: _Decision | None) -> str:
    return f"{seconds(decision[0]):.2f} s {decision[1]}" if decision else "nothing more"


def _decision(event: Event) -> str:
    text = ""
    match event:
        case StateChanged(state=state, reason=reason):
            text = f"{state}: {reason}"
        case EndpointJudged(turn=turn, over=over, reason=reason):
            text = f"turn {turn} is {'over' if over else 'not over'}: {reason}"
        case UserTranscript(turn=turn, text=words, final=True):
            text = f"turn {turn}: {words!r}"
        case TurnDiscarded(turn=turn, reason=reason):
            text = f"turn {turn} dropped: {reason}"
        case SpeculationDiscarded(turn=turn, reason=reason):
            text = f"speculative reply to turn {turn} dropped: {reason}"
        case ReplyStarted(reply=reply, turn=turn):
            text = f"reply {reply} to turn {turn}"
        case ReplyFinished(reply=reply):
            text = f"reply {reply} finished"
        case RecordedBackchannel(turn=turn):
            text = f"hums in turn {turn}"
        case Interrupted(reply=reply, reason=reason):
            text = f"reply {reply} cut off: {reason}"
        case PlaybackControl(reply=reply, action=action, reason=reason):
            text = f"{action} reply {reply}: {reason}"
    return text
