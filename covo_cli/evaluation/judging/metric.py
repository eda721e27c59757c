"""One figure of a run, as a rule: which findings count, and what is made of their values."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from enum import StrEnum

from covo_cli.evaluation.judging.finding import Finding
from covo_cli.evaluation.judging.statistics import Estimate, per_minute, percentile, rate


class Form(StrEnum):
    """What a figure is."""

    SHARE = "share"
    SECONDS = "s"
    PER_MINUTE = "/min"


Select = Callable[[Finding], bool]


@dataclass(frozen=True, slots=True)
class Metric:
    """One figure: of the findings that ``select`` picks, a share (the sum of ``value`` over the sum
    of ``over``, or over their number), the ``q``-th percentile of ``value``, or its sum by the
    minute, ``over`` being seconds.

    ``goal``: what it should be at most (``better`` is "lower") or at least.
    """

    key: str
    title: str
    form: Form
    better: str
    select: Select
    value: str
    over: str = ""
    q: float = 50.0
    goal: float | None = None

    @property
    def label(self) -> str:
        """The title with its unit, for tables."""
        return self.title if self.form is Form.SHARE else f"{self.title} ({self.form.value})"

    def pairs(self, findings: Sequence[Finding]) -> list[tuple[float, float]]:
        """Of each finding that counts, the value, and what it is counted over (else 1)."""
        pairs = []
        for finding in filter(self.select, findings):
            value = finding.value(self.value)
            over = finding.value(self.over) if self.over else 1.0
            if value is not None and over is not None:
                pairs.append((value, over))
        return pairs

    def estimate(self, findings: Sequence[Finding]) -> Estimate | None:
        """The figure; None when there is nothing to take it from."""
        pairs = self.pairs(findings)
        if not pairs:
            return None
        values = [value for value, _ in pairs]
        over = sum(over for _, over in pairs)
        match self.form:
            case Form.SHARE:
                return rate(round(sum(values)), round(over)) if over else None
            case Form.SECONDS:
                return percentile(values, self.q)
            case Form.PER_MINUTE:
                return per_minute(round(sum(values)), over / 60.0) if over > 0 else None

    def met(self, estimate: Estimate) -> bool | None:
        """Whether the goal is met; None without a goal."""
        if self.goal is None:
            return None
        low = self.better == "lower"
        return estimate.value <= self.goal if low else estimate.value >= self.goal
