"""Judges a run and reports it: on the screen, as JSON and as Markdown."""

from __future__ import annotations

import dataclasses
import json
import shutil
import tomllib
from collections.abc import Sequence
from dataclasses import dataclass
from importlib import resources
from pathlib import Path
from typing import TYPE_CHECKING, Any

from covo_cli.evaluation.judging.evidence import Listen, gather
from covo_cli.evaluation.judging.finding import Finding
from covo_cli.evaluation.judging.judge import judge
from covo_cli.evaluation.judging.metric import Form, Metric
from covo_cli.evaluation.judging.metrics import METRICS
from covo_cli.evaluation.judging.statistics import Estimate
from covo_cli.evaluation.names import SCRIPTED, RecognizerName
from covo_cli.evaluation.running.run import CONVERSATIONS, PICTURES, REPORT, RESULTS, done, read_run
from covo_cli.evaluation.scenarios.scenario import EvaluationError
from covo_cli.process.whole_file import write_text

if TYPE_CHECKING:
    from rich.table import Table

    from covo_cli.evaluation.reporting.compare import Comparison


@dataclass(frozen=True, slots=True)
class Report:
    """``run``: what was run, ``findings`` of its conversations, in the order of their names."""

    run: dict[str, Any]
    findings: tuple[Finding, ...]

    def estimates(self) -> list[tuple[Metric, Estimate]]:
        """The figures that can be taken from the findings."""
        found = ((metric, metric.estimate(self.findings)) for metric in METRICS)
        known = [(metric, estimate) for metric, estimate in found if estimate is not None]
        if self.run["recognizer"] != RecognizerName.ORACLE:
            return known
        # That an oracle loses no words is no merit of the engine.
        return [(metric, estimate) for metric, estimate in known if metric.key != "first_words"]

    def failed(self) -> dict[str, list[Finding]]:
        """Of each scenario in which something went wrong, what."""
        failures: dict[str, list[Finding]] = {}
        for finding in self.findings:
            if finding.ok is False:
                failures.setdefault(finding.scenario, []).append(finding)
        return failures


def assess(out: Path, listen: Listen) -> Report:
    """Judge what is done of the run ``out``, and leave ``results.json`` and ``report.md`` in it.

    ``listen``: see :func:`covo_cli.evaluation.judging.evidence.gather`. Raises: EvaluationError.
    """
    run, folders = read_run(out), done(out)
    to_all = run["engine"] != SCRIPTED  # whose every reply is known to be speech
    if not folders:
        raise EvaluationError(f"no conversation in {out} is done")
    findings = [
        finding for folder in folders for finding in judge(gather(folder, listen, to_all=to_all))
    ]
    report = Report({**run, "conversations": len(folders)}, tuple(findings))
    try:
        write_text(out / RESULTS, json.dumps(_as_json(report), indent=1) + "\n")
        write_text(out / REPORT, markdown(report))
    except OSError as error:
        raise EvaluationError(f"the report cannot be written: {error}") from error
    return report


def read_report(out: Path) -> Report:
    """The report that was left in ``out``. Raises: EvaluationError."""
    from pydantic import TypeAdapter

    path = out / RESULTS
    try:
        record = json.loads(path.read_text(encoding="utf-8"))
        findings = TypeAdapter(tuple[Finding, ...]).validate_python(record["findings"])
        return Report(record["run"], findings)
    except OSError as error:
        raise EvaluationError(f"{path} cannot be read: run `covo eval duplex` first") from error
    except (ValueError, KeyError, TypeError) as error:
        raise EvaluationError(f"{path} is no report: run `covo eval duplex` again") from error


def _as_json(report: Report) -> dict[str, Any]:
    metrics = {
        metric.key: {
            "title": metric.title,
            "unit": metric.form.value,
            **{k: round(v, 4) for k, v in dataclasses.asdict(estimate).items()},
            "goal": metric.goal,
            "met": metric.met(estimate),
        }
        for metric, estimate in report.estimates()
    }
    findings = [dataclasses.asdict(finding) for finding in report.findings]
    return {"run": report.run, "metrics": metrics, "findings": findings}


def table(report: Report) -> Table:
    """The figures, for the screen."""
    from rich.box import SIMPLE_HEAD
    from rich.table import Table

    run = report.run
    shown = Table(
        box=SIMPLE_HEAD,
        pad_edge=False,
        padding=(0, 1, 0, 0),
        title=f"{run['set']}, {run['conversations']} conversations, engine {run['engine']}",
        caption=_caption(report),
        caption_justify="left",
    )
    for heading in ("", "value", "95 % within", "cases", "goal"):
        shown.add_column(heading, justify="right" if heading else "left", no_wrap=True)
    for metric, estimate in report.estimates():
        met = metric.met(estimate)
        style = "" if met is None else "green" if met else "red"
        shown.add_row(
            metric.label,
            number(metric.form, estimate.value),
            f"{estimate.low:.2f} to {estimate.high:.2f}",
            cases(metric.form, estimate),
            goal(metric),
            style=style,
        )
    return shown


def difference_table(comparison: Comparison) -> Table:
    """Two runs' figures, for the screen."""
    from rich.box import SIMPLE_HEAD
    from rich.table import Table

    shown = Table(box=SIMPLE_HEAD, pad_edge=False, padding=(0, 1, 0, 0))
    for heading in ("", "A", "B", "B - A", "95 % within", ""):
        shown.add_column(heading, justify="right" if heading else "left", no_wrap=True)
    for row in comparison.differences:
        style = {"better": "green", "worse": "red", "": ""}[row.verdict]
        shown.add_row(
            row.metric.label,
            number(row.metric.form, row.a.value),
            number(row.metric.form, row.b.value),
            f"{row.change.value:+.3f}",
            f"{row.change.low:+.2f} to {row.change.high:+.2f}",
            row.verdict,
            style=style,
        )
    return shown


def draw_failures(out: Path, report: Report) -> None:
    """A picture of each conversation that went wrong. Raises: ImportError without matplotlib."""
    from covo_cli.evaluation.reporting.picture import draw

    folder = out / PICTURES
    try:
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir()
        for name, findings in report.failed().items():
            draw(out / CONVERSATIONS / name, findings, folder / f"{name}.png")
    except OSError as error:
        raise EvaluationError(f"cannot write {folder}: {error.strerror}") from error


def _caption(report: Report) -> str:
    failed = len(report.failed())
    return f"{failed} of {report.run['conversations']} conversations went wrong somewhere"


def number(form: Form, value: float) -> str:
    """A figure without its unit."""
    return f"{value:.3f}" if form is Form.SHARE else f"{value:.2f}"


def cases(form: Form, estimate: Estimate) -> str:
    """What a figure was taken from."""
    return f"{estimate.n:.1f} min" if form is Form.PER_MINUTE else f"{estimate.n:.0f}"


def goal(metric: Metric) -> str:
    """The goal, if there is one."""
    if metric.goal is None:
        return ""
    return f"{'≤' if metric.better == 'lower' else '≥'} {number(metric.form, metric.goal)}"


def markdown(report: Report) -> str:
    """The whole report: how it was made, the figures, other systems' beside them, the failures."""
    run = report.run
    lines = [
        f"# Turn taking: set {run['set']}, engine {run['engine']}",
        "",
        f"    {run['machine']['command']}",
        "",
        f"{run['conversations']} of {run['scenarios']} conversations; recogniser of the user: "
        f"{run['recognizer']}; {run['machine']['processor']}, {run['machine']['cores']} cores, "
        f"{run['jobs']} at work, load before it {run['load']:.1f} a core; "
        f"{run['machine']['time']}. Set {run['set_sha256'][:12]}, code {run['code_sha256'][:12]}.",
        "",
        "| | value | 95 % interval | cases | goal | met |",
        "|---|---|---|---|---|---|",
    ]
    for metric, estimate in report.estimates():
        met = {None: "", True: "yes", False: "**no**"}[metric.met(estimate)]
        low, high = number(metric.form, estimate.low), number(metric.form, estimate.high)
        lines.append(
            f"| {metric.label} | {number(metric.form, estimate.value)} | {low} to {high} "
            f"| {cases(metric.form, estimate)} | {goal(metric)} | {met} |"
        )
    lines += ["", "## Beside published systems", "", *_published(report), ""]
    lines += ["## What went wrong", ""]
    for scenario, findings in report.failed().items():
        lines.append(f"- {scenario}: {'; '.join(finding.problem for finding in findings)}")
    return "\n".join(lines) + "\n"


def _published(report: Report) -> Sequence[str]:
    """The rows of ``published.toml``, ours first."""
    text = (resources.files("covo_cli.evaluation.reporting") / "published.toml").read_text(
        encoding="utf-8"
    )
    published = tomllib.loads(text)
    ours = {metric.key: number(metric.form, value.value) for metric, value in report.estimates()}
    lines: list[str] = []
    for group in published["groups"]:
        keys, titles = list(group["columns"]), list(group["columns"].values())
        lines += [group["about"], "", "| | " + " | ".join(titles) + " |"]
        lines.append("|---" * (len(titles) + 1) + "|")
        mine = [ours.get(key, "") for key in group["ours"]]
        lines.append(
            f"| **covo, {report.run['engine']}** (set {report.run['set']}) | "
            + " | ".join(mine)
            + " |"
        )
        for row in group["rows"]:
            lines.append(
                f"| {row['system']} | " + " | ".join(str(row.get(key, "")) for key in keys) + " |"
            )
        lines.append("")
    return lines
