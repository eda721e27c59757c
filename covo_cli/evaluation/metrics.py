"""The figures of a run, from the findings of its conversations.

docs/evaluation.md has every definition with its source.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from enum import StrEnum

from covo_cli.evaluation.judge import Check, Finding
from covo_cli.evaluation.scenario import Kind
from covo_cli.evaluation.statistics import Estimate, per_minute, percentile, rate


class Form(StrEnum):
    """What a figure is."""

    SHARE = "share"
    SECONDS = "s"
    PER_MINUTE = "/min"


Select = Callable[[Finding], bool]


@dataclass(frozen=True, slots=True)
class Metric:
    """One figure: of the findings that ``select`` picks, the mean of ``value`` (0 or 1), a
    percentile of it, or its sum over the sum of ``over`` minutes.

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


def _of(check: Check, *kinds: Kind, but: tuple[Kind, ...] = ()) -> Select:
    def select(f: Finding) -> bool:
        return f.check is check and (not kinds or f.kind in kinds) and f.kind not in but

    return select


def _tried(check: Check) -> Select:
    return lambda f: f.check is check and f.ok is not None


def _noise(low: float, high: float) -> Select:
    def select(f: Finding) -> bool:
        noisy = f.check is Check.EXPOSURE and f.kind is Kind.NOISE
        return noisy and low <= f.values["snr"] <= high

    return select


_CLEAN = (Kind.TURN, Kind.MONOLOGUE)
_TURN = _of(Check.TURN, *_CLEAN)
_ANSWERED = (Kind.TURN, Kind.MONOLOGUE, Kind.PAUSE)
SHARE, SECONDS, PER_MINUTE = Form.SHARE, Form.SECONDS, Form.PER_MINUTE

METRICS = (
    # Full-Duplex-Bench v1's four
    Metric(
        "pause_takeover",
        "pause: takeover rate",
        SHARE,
        "lower",
        _of(Check.PAUSE, Kind.PAUSE),
        "takeover",
        goal=0.05,
    ),
    Metric(
        "listening_takeover",
        "user goes on (ICC): takeover rate",
        SHARE,
        "lower",
        _of(Check.PAUSE, Kind.LISTENING),
        "takeover",
    ),
    Metric(
        "backchannel_takeover",
        "backchannel: takeover rate",
        SHARE,
        "lower",
        _tried(Check.BACKCHANNEL),
        "takeover",
        goal=0.05,
    ),
    Metric(
        "turn_takeover", "turn-taking: takeover rate", SHARE, "higher", _TURN, "takeover", goal=0.98
    ),
    Metric(
        "turn_decision",
        "turn-taking: decision, median",
        SECONDS,
        "lower",
        _TURN,
        "decision",
        goal=0.5,
    ),
    Metric("turn_latency", "turn-taking: latency, median", SECONDS, "lower", _TURN, "latency"),
    Metric(
        "turn_latency_p90",
        "turn-taking: latency, 90 %",
        SECONDS,
        "lower",
        _TURN,
        "latency",
        q=90,
    ),
    Metric(
        "turn_latency_p95",
        "turn-taking: latency, 95 %",
        SECONDS,
        "lower",
        _TURN,
        "latency",
        q=95,
    ),
    Metric(
        "interruption_takeover",
        "interruption: takeover rate",
        SHARE,
        "higher",
        _tried(Check.INTERRUPTION),
        "takeover",
    ),
    Metric(
        "interruption_latency",
        "interruption: latency, median",
        SECONDS,
        "lower",
        _tried(Check.INTERRUPTION),
        "latency",
    ),
    Metric(
        "interruption_stopped",
        "interruption: caught",
        SHARE,
        "higher",
        _tried(Check.INTERRUPTION),
        "stopped",
        goal=0.98,
    ),
    Metric(
        "interruption_stop",
        "interruption: stop, median",
        SECONDS,
        "lower",
        _tried(Check.INTERRUPTION),
        "stop",
        goal=0.35,
    ),
    Metric(
        "interruption_stop_p90",
        "interruption: stop, 90 %",
        SECONDS,
        "lower",
        _tried(Check.INTERRUPTION),
        "stop",
        q=90,
    ),
    # Covo's four success rates
    Metric("pause_silent", "pause: not a sound", SHARE, "higher", _of(Check.PAUSE), "silent"),
    Metric("turn_success", "success: turn-taking", SHARE, "higher", _TURN, "ok"),
    Metric("pause_success", "success: pause handling", SHARE, "higher", _of(Check.PAUSE), "ok"),
    Metric(
        "backchannel_success",
        "success: backchannel",
        SHARE,
        "higher",
        _tried(Check.BACKCHANNEL),
        "ok",
    ),
    Metric(
        "interruption_success",
        "success: interruption",
        SHARE,
        "higher",
        _tried(Check.INTERRUPTION),
        "ok",
    ),
    # Further
    Metric(
        "correction_success",
        "success: self-correction",
        SHARE,
        "higher",
        _tried(Check.CORRECTION),
        "ok",
    ),
    Metric(
        "side_talk_takeover",
        "side talk over a reply: takeover",
        SHARE,
        "lower",
        lambda f: f.check is Check.SIDE_TALK and f.values.get("over_reply") == 1,
        "takeover",
    ),
    Metric(
        "side_talk_answered",
        "side talk in silence: answered",
        SHARE,
        "lower",
        lambda f: f.check is Check.SIDE_TALK and f.values.get("over_reply") == 0,
        "takeover",
    ),
    Metric(
        "noise_turn_takeover",
        "turns in noise: takeover rate",
        SHARE,
        "higher",
        _of(Check.TURN, Kind.NOISE),
        "takeover",
    ),
    Metric(
        "noise_turn_decision",
        "turns in noise: decision, median",
        SECONDS,
        "lower",
        _of(Check.TURN, Kind.NOISE),
        "decision",
    ),
    Metric(
        "false_alarm_resumed",
        "false alarms: reply came back",
        SHARE,
        "higher",
        lambda f: "resumed" in f.values,
        "resumed",
    ),
    Metric(
        "false_alarm_resume",
        "false alarm: back after, median",
        SECONDS,
        "lower",
        lambda f: "resume" in f.values,
        "resume",
    ),
    Metric(
        "barge_ins_noise_20",
        "false barge-ins, noise 20 dB",
        PER_MINUTE,
        "lower",
        _noise(15, 60),
        "false_barge_ins",
        "speaking",
    ),
    Metric(
        "barge_ins_noise_10",
        "false barge-ins, noise 10 dB",
        PER_MINUTE,
        "lower",
        _noise(7.5, 15),
        "false_barge_ins",
        "speaking",
        goal=0.2,
    ),
    Metric(
        "barge_ins_noise_5",
        "false barge-ins, noise 5 dB",
        PER_MINUTE,
        "lower",
        _noise(-10, 7.5),
        "false_barge_ins",
        "speaking",
    ),
    Metric(
        "barge_ins_echo",
        "false barge-ins, echo",
        PER_MINUTE,
        "lower",
        _of(Check.EXPOSURE, Kind.ECHO),
        "false_barge_ins",
        "speaking",
        goal=0.0,
    ),
    Metric(
        "false_turns",
        "answers to nobody",
        PER_MINUTE,
        "lower",
        _of(Check.EXPOSURE, Kind.NOISE, Kind.SILENCE),
        "false_turns",
        "idle",
    ),
    Metric(
        "first_words",
        "first words lost",
        SHARE,
        "lower",
        _of(Check.FIRST_WORDS),
        "lost",
        "of",
        goal=0.01,
    ),
    Metric(
        "latency",
        "all answers: latency, median",
        SECONDS,
        "lower",
        _of(Check.TURN, *_ANSWERED),
        "latency",
    ),
    Metric(
        "latency_p90",
        "all answers: latency, 90 %",
        SECONDS,
        "lower",
        _of(Check.TURN, *_ANSWERED),
        "latency",
        q=90,
    ),
    Metric(
        "latency_p99",
        "all answers: latency, 99 %",
        SECONDS,
        "lower",
        _of(Check.TURN, *_ANSWERED),
        "latency",
        q=99,
    ),
)
"""In the order in which they are reported."""
