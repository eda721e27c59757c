"""The form of a figure, and how it is computed from findings."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Literal

from covo_cli.bench.chain import MEDIAN_AT_MOST, P90_AT_MOST
from covo_cli.evaluation import Kind
from covo_cli.evaluation.judging.finding import (
    LATENCY,
    LATENCY_OVER_CHAIN,
    Finding,
    FindingCheck,
)
from covo_cli.evaluation.judging.statistics import Estimate, per_minute, percentile, rate

CHAIN_GOALS = {50: MEDIAN_AT_MOST, 90: P90_AT_MOST}
"""Goals for latencies over the plain chain's, by percentile."""

Better = Literal["lower", "higher"]
Select = Callable[[Finding], bool]


class Form(StrEnum):
    """The form of a figure; its value is the unit."""

    SHARE = "share"
    SECONDS = "s"
    OVER_CHAIN = "× chain"
    PER_MINUTE = "/min"


@dataclass(frozen=True, slots=True)
class Metric:
    """One figure, computed from the selected findings.

    - A share: the sum of ``value`` over the sum of ``over``, or over the number of findings.
    - Seconds, and seconds over the plain chain's: the ``q``-th percentile of ``value``.
    - A rate per minute: the sum of ``value`` over the sum of ``over``, in seconds.

    ``goal`` is an upper bound where ``better`` is "lower", else a lower bound.
    """

    key: str
    title: str
    form: Form
    better: Better
    select: Select
    value: str
    over: str = ""
    q: float = 50.0
    goal: float | None = None

    @property
    def label(self) -> str:
        """The title with its unit."""
        return self.title if self.form is Form.SHARE else f"{self.title} ({self.form.value})"

    def estimate(self, findings: Sequence[Finding]) -> Estimate | None:
        """Compute the figure; None if no finding has the needed values."""
        pairs = self._pairs(findings)
        if not pairs:
            return None
        values = [value for value, _ in pairs]
        over = sum(over for _, over in pairs)
        match self.form:
            case Form.SHARE:
                return rate(round(sum(values)), round(over)) if over else None
            case Form.SECONDS | Form.OVER_CHAIN:
                return percentile(values, self.q)
            case Form.PER_MINUTE:
                return per_minute(round(sum(values)), over / 60.0) if over > 0 else None

    def _pairs(self, findings: Sequence[Finding]) -> list[tuple[float, float]]:
        """Return ``value`` and ``over`` (default 1) of each selected finding that has both."""
        pairs = []
        for finding in filter(self.select, findings):
            value = finding.value(self.value)
            over = finding.value(self.over) if self.over else 1.0
            if value is not None and over is not None:
                pairs.append((value, over))
        return pairs

    def met(self, estimate: Estimate) -> bool | None:
        """Return whether ``estimate`` meets the goal; None without a goal."""
        if self.goal is None:
            return None
        low = self.better == "lower"
        return estimate.value <= self.goal if low else estimate.value >= self.goal


def share(
    key: str, title: str, better: Better, select: Select, value: str, goal: float | None = None
) -> Metric:
    """Return the share that is the mean of ``value``."""
    return Metric(key, title, Form.SHARE, better, select, value, goal=goal)


def times(
    key: str,
    title: str,
    select: Select,
    value: str,
    percentiles: tuple[int, ...] = (),
    goals: Mapping[int, float] | None = None,
    chain_goals: Mapping[int, float] | None = None,
) -> Iterator[Metric]:
    """Yield the median and further ``percentiles`` of ``value``, a time.

    Yield a latency over the plain chain's as well. ``goals``, ``chain_goals``: by percentile.
    """
    forms = [(Form.SECONDS, value, "", goals or {})]
    if value == LATENCY:
        forms.append((Form.OVER_CHAIN, LATENCY_OVER_CHAIN, "_over_chain", chain_goals or {}))
    for form, of, suffix, wanted in forms:
        for q in (50, *percentiles):
            name, place = ("median", "") if q == 50 else (f"{q} %", f"_p{q}")
            yield Metric(
                f"{key}{place}{suffix}",
                f"{title}, {name}",
                form,
                "lower",
                select,
                of,
                q=q,
                goal=wanted.get(q),
            )


def findings_on(check: FindingCheck, *kinds: Kind) -> Select:
    """Select the findings of ``check`` on scenarios of ``kinds`` (default: all)."""
    return lambda f: f.check is check and (not kinds or f.kind in kinds)


def side_talk(kind: Kind, over_reply: float) -> Select:
    """Select what somebody else said in scenarios of ``kind``: over a reply (1) or not (0)."""
    said = findings_on(FindingCheck.SIDE_TALK, kind)
    return lambda f: said(f) and f.values.get("over_reply") == over_reply
