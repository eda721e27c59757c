"""The figures of a run, each computed from the findings that it selects.

docs/evaluation.md has every definition with its source.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Literal

from covo_cli.evaluation.judging.finding import Finding, FindingCheck
from covo_cli.evaluation.judging.statistics import Estimate, per_minute, percentile, rate
from covo_cli.evaluation.scenarios.scenario import Kind

Better = Literal["lower", "higher"]
Select = Callable[[Finding], bool]


class Form(StrEnum):
    """The form of a figure; its text is the unit."""

    SHARE = "share"
    SECONDS = "s"
    PER_MINUTE = "/min"


@dataclass(frozen=True, slots=True)
class Metric:
    """One figure, computed from the findings that ``select`` picks.

    - A share: the sum of ``value`` over the sum of ``over``, or over the number of findings.
    - Seconds: the ``q``-th percentile of ``value``.
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
        """Compute the figure; None when no finding has the values for it."""
        pairs = self._pairs(findings)
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

    def _pairs(self, findings: Sequence[Finding]) -> list[tuple[float, float]]:
        """Return ``value`` and ``over`` (1 without one) of each selected finding that has both."""
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


def _share(
    key: str, title: str, better: Better, select: Select, value: str, goal: float | None = None
) -> Metric:
    return Metric(key, title, Form.SHARE, better, select, value, goal=goal)


def _seconds(
    key: str, title: str, select: Select, value: str, q: float = 50.0, goal: float | None = None
) -> Metric:
    return Metric(key, title, Form.SECONDS, "lower", select, value, q=q, goal=goal)


def _per_minute(
    key: str, title: str, select: Select, value: str, over: str, goal: float | None = None
) -> Metric:
    return Metric(key, title, Form.PER_MINUTE, "lower", select, value, over, goal=goal)


def _of(check: FindingCheck, *kinds: Kind) -> Select:
    return lambda f: f.check is check and (not kinds or f.kind in kinds)


def _tried(check: FindingCheck) -> Select:
    return lambda f: f.check is check and f.ok is not None


def _noise(low: float, high: float) -> Select:
    """Select noisy conversations whose signal-to-noise ratio is in [``low``, ``high``) dB."""
    noisy = _of(FindingCheck.EXPOSURE, Kind.NOISE)
    return lambda f: noisy(f) and low <= f.values["snr"] < high


def _side_talk(over_reply: bool) -> Select:
    return lambda f: (
        f.check is FindingCheck.SIDE_TALK and f.values.get("over_reply") == float(over_reply)
    )


_TURN = _of(FindingCheck.TURN, Kind.TURN, Kind.MONOLOGUE)
_ANSWERED = _of(FindingCheck.TURN, Kind.TURN, Kind.MONOLOGUE, Kind.PAUSE)
_IN_NOISE = _of(FindingCheck.TURN, Kind.NOISE)
_PAUSE = _of(FindingCheck.PAUSE, Kind.PAUSE)
_LISTENING = _of(FindingCheck.PAUSE, Kind.LISTENING)
_BACKCHANNEL = _tried(FindingCheck.BACKCHANNEL)
_INTERRUPTION = _tried(FindingCheck.INTERRUPTION)
_CORRECTION = _tried(FindingCheck.CORRECTION)
_ECHO = _of(FindingCheck.EXPOSURE, Kind.ECHO)
_NOBODY = _of(FindingCheck.EXPOSURE, Kind.NOISE, Kind.SILENCE)

METRICS = (
    # Full-Duplex-Bench v1's four tasks
    _share("pause_takeover", "pause: takeover rate", "lower", _PAUSE, "takeover", 0.05),
    _share(
        "listening_takeover", "user goes on (ICC): takeover rate", "lower", _LISTENING, "takeover"
    ),
    _share(
        "backchannel_takeover",
        "backchannel: takeover rate",
        "lower",
        _BACKCHANNEL,
        "takeover",
        0.05,
    ),
    _share("turn_takeover", "turn-taking: takeover rate", "higher", _TURN, "takeover", 0.98),
    _seconds("turn_decision", "turn-taking: decision, median", _TURN, "decision", goal=0.5),
    _seconds("turn_latency", "turn-taking: latency, median", _TURN, "latency"),
    _seconds("turn_latency_p90", "turn-taking: latency, 90 %", _TURN, "latency", 90),
    _seconds("turn_latency_p95", "turn-taking: latency, 95 %", _TURN, "latency", 95),
    _share(
        "interruption_takeover", "interruption: takeover rate", "higher", _INTERRUPTION, "takeover"
    ),
    _seconds("interruption_latency", "interruption: latency, median", _INTERRUPTION, "latency"),
    _share(
        "interruption_stopped", "interruption: caught", "higher", _INTERRUPTION, "stopped", 0.98
    ),
    _seconds("interruption_stop", "interruption: stop, median", _INTERRUPTION, "stop", goal=0.35),
    _seconds("interruption_stop_p90", "interruption: stop, 90 %", _INTERRUPTION, "stop", 90),
    _share("pause_silent", "pause: not a sound", "higher", _PAUSE, "silent"),
    # Covo's four success rates
    _share("turn_success", "success: turn-taking", "higher", _TURN, "ok"),
    _share("pause_success", "success: pause handling", "higher", _PAUSE, "ok"),
    _share("backchannel_success", "success: backchannel", "higher", _BACKCHANNEL, "ok"),
    _share("interruption_success", "success: interruption", "higher", _INTERRUPTION, "ok"),
    # Our own
    _share("correction_success", "success: self-correction", "higher", _CORRECTION, "ok"),
    _share("side_talk_takeover", "side talk over a reply", "lower", _side_talk(True), "takeover"),
    _share("side_talk_answered", "side talk in silence", "lower", _side_talk(False), "takeover"),
    _share("noise_turn_takeover", "turns in noise: takeover", "higher", _IN_NOISE, "takeover"),
    _share("noise_turn_success", "turns in noise: success", "higher", _IN_NOISE, "ok"),
    _seconds("noise_turn_decision", "turns in noise: decision", _IN_NOISE, "decision"),
    _share(
        "false_alarm_resumed",
        "false alarms: reply came back",
        "higher",
        lambda f: "resumed" in f.values,
        "resumed",
    ),
    _seconds(
        "false_alarm_resume",
        "false alarm: back after, median",
        lambda f: "resume" in f.values,
        "resume",
    ),
    _per_minute(
        "barge_ins_noise_20",
        "false barge-ins, 20 dB noise",
        _noise(15, math.inf),
        "false_barge_ins",
        "speaking",
    ),
    _per_minute(
        "barge_ins_noise_10",
        "false barge-ins, 10 dB noise",
        _noise(7.5, 15),
        "false_barge_ins",
        "speaking",
        0.2,
    ),
    _per_minute(
        "barge_ins_noise_5",
        "false barge-ins, 5 dB noise",
        _noise(-math.inf, 7.5),
        "false_barge_ins",
        "speaking",
    ),
    _per_minute(
        "barge_ins_echo", "false barge-ins, echo", _ECHO, "false_barge_ins", "speaking", 0.0
    ),
    _per_minute("false_turns", "answers to nobody", _NOBODY, "false_turns", "idle"),
    Metric(
        "first_words",
        "first words lost",
        Form.SHARE,
        "lower",
        _of(FindingCheck.FIRST_WORDS),
        "lost",
        "of",
        goal=0.01,
    ),
    _seconds("latency", "all answers: latency, median", _ANSWERED, "latency"),
    _seconds("latency_p90", "all answers: latency, 90 %", _ANSWERED, "latency", 90),
    _seconds("latency_p99", "all answers: latency, 99 %", _ANSWERED, "latency", 99),
)
"""In the order in which they are reported."""
