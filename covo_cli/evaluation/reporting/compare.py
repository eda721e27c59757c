"""Two runs side by side: by how much each figure differs, and which scenarios went differently."""

from __future__ import annotations

from dataclasses import dataclass

from covo_cli.evaluation.judging.metric import Metric
from covo_cli.evaluation.judging.statistics import Estimate, difference
from covo_cli.evaluation.reporting.report import Report


@dataclass(frozen=True, slots=True)
class Difference:
    """Figure ``metric`` in both runs; ``change`` is b minus a, with its interval."""

    metric: Metric
    a: Estimate
    b: Estimate
    change: Estimate

    @property
    def verdict(self) -> str:
        """``better`` or ``worse`` when the interval leaves no other choice, else empty."""
        if self.change.low <= 0 <= self.change.high:
            return ""
        fell = self.change.value < 0
        return "better" if fell == (self.metric.better == "lower") else "worse"


@dataclass(frozen=True, slots=True)
class Comparison:
    """``mended``: scenarios that went wrong in a and not in b; ``broken``: the other way round;
    each with what went wrong. ``differing``: what the runs were made with that is not the same."""

    differences: tuple[Difference, ...]
    mended: dict[str, str]
    broken: dict[str, str]
    differing: dict[str, tuple[object, object]]


def compare(a: Report, b: Report) -> Comparison:
    """``b`` against ``a``. Only scenarios of both runs are looked at one by one."""
    before = {metric.key: estimate for metric, estimate in a.estimates()}
    differences = [
        Difference(metric, before[metric.key], estimate, difference(before[metric.key], estimate))
        for metric, estimate in b.estimates()
        if metric.key in before
    ]
    common = {f.scenario for f in a.findings} & {f.scenario for f in b.findings}
    wrong_a, wrong_b = _wrong(a), _wrong(b)
    keys = ("set", "set_sha256", "engine", "recognizer", "settings", "code_sha256")
    return Comparison(
        tuple(differences),
        {name: wrong_a[name] for name in sorted(common & wrong_a.keys() - wrong_b.keys())},
        {name: wrong_b[name] for name in sorted(common & wrong_b.keys() - wrong_a.keys())},
        {key: (a.run.get(key), b.run.get(key)) for key in keys if a.run.get(key) != b.run.get(key)},
    )


def _wrong(report: Report) -> dict[str, str]:
    return {
        name: "; ".join(finding.problem for finding in findings)
        for name, findings in report.failed().items()
    }
