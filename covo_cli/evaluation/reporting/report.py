"""Judge a run and report it on the screen, as JSON and as Markdown."""

from __future__ import annotations

import dataclasses
import shutil
import tomllib
from collections.abc import Iterator
from dataclasses import dataclass
from importlib import resources
from pathlib import Path
from typing import TYPE_CHECKING, Any

from covo_cli.bench.chain import ChainFigures
from covo_cli.evaluation import SCRIPTED, RecognizerName
from covo_cli.evaluation.judging.evidence import Listen, gather
from covo_cli.evaluation.judging.finding import Finding
from covo_cli.evaluation.judging.judge import judge
from covo_cli.evaluation.judging.metric import Form, Metric
from covo_cli.evaluation.judging.metrics import METRICS
from covo_cli.evaluation.judging.statistics import Estimate
from covo_cli.evaluation.running.run import (
    CONVERSATIONS,
    PICTURES,
    REPORT,
    RESULTS,
    RunRecord,
    done,
    read_chain,
    read_run,
)
from covo_cli.evaluation.scenarios.scenario import EvaluationError, to_json
from covo_cli.process.whole_file import write_text
from voices.strict_reader import read

if TYPE_CHECKING:
    from rich.table import Table


@dataclass(frozen=True, slots=True)
class ReportRow:
    """A figure as text. ``met``: whether it meets its goal (None: no goal)."""

    label: str
    value: str
    interval: str
    cases: str
    goal: str
    met: bool | None


@dataclass(frozen=True, slots=True)
class Report:
    """A run and the ``findings`` on its conversations, ordered by name.

    ``chain``: the plain chain's times in the run, if it was timed.
    """

    run: RunRecord
    findings: tuple[Finding, ...]
    chain: ChainFigures | None = None

    def estimates(self) -> list[tuple[Metric, Estimate]]:
        """Return the figures that have findings."""
        found = ((metric, metric.estimate(self.findings)) for metric in METRICS)
        known = [(metric, estimate) for metric, estimate in found if estimate is not None]
        if self.run.recognizer != RecognizerName.ORACLE:
            return known
        # The oracle loses no words, so these figures say nothing about the engine.
        return [(metric, estimate) for metric, estimate in known if metric.value != "lost"]

    def rows(self) -> list[ReportRow]:
        """Return the figures as text."""
        return [_row(metric, estimate) for metric, estimate in self.estimates()]

    def failed(self) -> dict[str, list[Finding]]:
        """Return failed findings by scenario."""
        failures: dict[str, list[Finding]] = {}
        for finding in self.findings:
            if finding.ok is False:
                failures.setdefault(finding.scenario, []).append(finding)
        return failures

    def problems(self) -> dict[str, str]:
        """Describe the failures by scenario."""
        return {name: "; ".join(f.problem for f in found) for name, found in self.failed().items()}


@dataclass(frozen=True, slots=True)
class ReportFile:
    """The content of results.json."""

    run: RunRecord
    metrics: dict[str, Any]
    findings: tuple[Finding, ...]
    chain: ChainFigures | None = None


def assess(out: Path, listen: Listen) -> Report:
    """Judge the finished conversations of run ``out``; write its results.json and report.md.

    ``listen``: see :func:`covo_cli.evaluation.judging.evidence.gather`. Raises: EvaluationError.
    """
    run, folders = read_run(out), done(out)
    to_all = run.engine != SCRIPTED  # scripted replies are known to be speech
    words = run.recognizer != RecognizerName.ORACLE
    if not folders:
        raise EvaluationError(f"no conversation in {out} is finished")
    chain = read_chain(out)
    findings = [
        finding if chain is None else finding.over_chain(chain.median)
        for folder in folders
        for finding in judge(gather(folder, listen, to_all=to_all), words=words)
    ]
    report = Report(dataclasses.replace(run, conversations=len(folders)), tuple(findings), chain)
    try:
        write_text(out / RESULTS, to_json(_as_file(report)))
        write_text(out / REPORT, markdown(report))
    except OSError as error:
        raise EvaluationError(f"cannot write the report: {error}") from error
    return report


def read_report(out: Path) -> Report:
    """Read the report in ``out``. Raises: EvaluationError."""
    remedy = f"run `covo eval report {out}`"
    file = read(out / RESULTS, ReportFile, EvaluationError, remedy=remedy)
    return Report(file.run, file.findings, file.chain)


def draw_failures(out: Path, report: Report) -> None:
    """Draw each failed conversation. Raises: EvaluationError, ImportError."""
    from covo_cli.evaluation.reporting.picture import draw

    folder = out / PICTURES
    try:
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir()
        for name, findings in report.failed().items():
            draw(out / CONVERSATIONS / name, findings, folder / f"{name}.png")
    except OSError as error:
        raise EvaluationError(f"cannot write {folder}: {error.strerror}") from error


def number(form: Form, value: float) -> str:
    """Format a figure without its unit."""
    return f"{value:.3f}" if form is Form.SHARE else f"{value:.2f}"


def _row(metric: Metric, estimate: Estimate) -> ReportRow:
    form, goal = metric.form, ""
    if metric.goal is not None:
        goal = f"{'≤' if metric.better == 'lower' else '≥'} {number(form, metric.goal)}"
    return ReportRow(
        metric.label,
        number(form, estimate.value),
        f"{number(form, estimate.low)} to {number(form, estimate.high)}",
        f"{estimate.n:.1f} min" if form is Form.PER_MINUTE else f"{estimate.n:.0f}",
        goal,
        metric.met(estimate),
    )


def _as_file(report: Report) -> ReportFile:
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
    return ReportFile(report.run, metrics, report.findings, report.chain)


def new_table(*headings: str, **options: Any) -> Table:
    """Create an empty table with a left-aligned first column."""
    from rich.box import SIMPLE_HEAD
    from rich.table import Table

    table = Table(box=SIMPLE_HEAD, pad_edge=False, padding=(0, 1, 0, 0), **options)
    for heading in headings:
        table.add_column(heading, justify="right" if heading else "left", no_wrap=True)
    return table


def report_table(report: Report) -> Table:
    """Format the figures for the screen."""
    run = report.run
    table = new_table(
        *("", "value", "95 % within", "cases", "goal"),
        title=f"{run.set}, {run.conversations} conversations, engine {run.engine}",
        caption=f"{len(report.failed())} of {run.conversations} conversations went wrong"
        + "".join(f"; {remark}" for remark in _remarks(report)),
        caption_justify="left",
    )
    for row in report.rows():
        style = {None: "", True: "green", False: "red"}[row.met]
        table.add_row(row.label, row.value, row.interval, row.cases, row.goal, style=style)
    return table


def markdown(report: Report) -> str:
    """Format the whole report: setup, figures, other systems' figures, failures."""
    run = report.run
    met = {None: "", True: "yes", False: "**no**"}
    lines = [
        f"# Turn taking: set {run.set}, engine {run.engine}",
        "",
        f"    {run.machine['command']}",
        "",
        f"{run.conversations} of {run.scenarios} conversations; recogniser of the user: "
        f"{run.recognizer}; {run.machine['processor']}, {run.machine['cores']} cores, "
        f"{run.jobs} processes, load per core before the run {run.load:.1f}; "
        f"{run.machine['time']}. Set {run.set_sha256[:12]}, code {run.code_sha256[:12]}.",
        "",
        *(part for remark in _remarks(report) for part in (f"Of this run: {remark}.", "")),
        *_rows("", "value", "95 % interval", "cases", "goal", "met"),
        *(
            _line(row.label, row.value, row.interval, row.cases, row.goal, met[row.met])
            for row in report.rows()
        ),
        "",
        "## Beside published systems",
        "",
        *_published(report),
        "",
        "## What went wrong",
        "",
        *(f"- {scenario}: {problem}" for scenario, problem in report.problems().items()),
    ]
    return "\n".join(lines) + "\n"


def _published(report: Report) -> Iterator[str]:
    """Yield a table for each group in ``published.toml``, our figures first."""
    file = resources.files("covo_cli.evaluation.reporting") / "published.toml"
    ours = {metric.key: number(metric.form, value.value) for metric, value in report.estimates()}
    name = f"**covo, {report.run.engine}** (set {report.run.set})"
    for group in tomllib.loads(file.read_text(encoding="utf-8"))["groups"]:
        columns = group["columns"]
        yield from (group["about"], "", *_rows("", *columns.values()))
        yield _line(name, *(ours.get(key, "") for key in group["ours"]))
        for row in group["rows"]:
            yield _line(row["system"], *(row.get(key, "") for key in columns))
        yield ""


def _remarks(report: Report) -> Iterator[str]:
    """Yield what else the reader of the figures must know."""
    if report.run.only:
        yield f"only the kinds {', '.join(report.run.only)}"
    if report.run.recognizer == RecognizerName.ORACLE:
        yield "the oracle loses no word, so a reply taken back is judged by its time alone"
    if report.chain:
        yield _chain(report.chain)


def _chain(chain: ChainFigures) -> str:
    return (
        f"plain chain {chain.median:.2f} s (median of {chain.questions}, "
        f"{chain.shortest:.2f} to {chain.longest:.2f} s)"
    )


def _rows(*headings: str) -> list[str]:
    return [_line(*headings), "|---" * len(headings) + "|"]


def _line(*cells: object) -> str:
    return "| " + " | ".join(str(cell) for cell in cells) + " |"
