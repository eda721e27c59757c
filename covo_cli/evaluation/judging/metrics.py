"""The figures of a run and the findings that each is computed from.

docs/evaluation.md has every definition with its source.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Literal

from covo_cli.bench.chain import MEDIAN_AT_MOST, P90_AT_MOST
from covo_cli.evaluation import EVERYDAY, Kind
from covo_cli.evaluation.judging.finding import (
    LATENCY,
    LATENCY_OVER_CHAIN,
    Finding,
    FindingCheck,
)
from covo_cli.evaluation.judging.statistics import Estimate, per_minute, percentile, rate

_CHAIN_GOALS = {50: MEDIAN_AT_MOST, 90: P90_AT_MOST}

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


def _share(
    key: str, title: str, better: Better, select: Select, value: str, goal: float | None = None
) -> Metric:
    return Metric(key, title, Form.SHARE, better, select, value, goal=goal)


def _seconds(
    key: str,
    title: str,
    select: Select,
    value: str,
    percentiles: tuple[int, ...] = (),
    goal: float | None = None,
    chain_goals: Mapping[int, float] | None = None,
) -> Iterator[Metric]:
    """Yield the median, with an optional goal, and further ``percentiles``.

    Yield a latency over the plain chain's as well; ``chain_goals``: by percentile.
    """
    yield Metric(key, f"{title}, median", Form.SECONDS, "lower", select, value, goal=goal)
    for q in percentiles:
        yield Metric(f"{key}_p{q}", f"{title}, {q} %", Form.SECONDS, "lower", select, value, q=q)
    for q in (50, *percentiles) if value == LATENCY else ():
        name = "median" if q == 50 else f"{q} %"
        yield Metric(
            f"{key}_over_chain" if q == 50 else f"{key}_p{q}_over_chain",
            f"{title}, {name}",
            Form.OVER_CHAIN,
            "lower",
            select,
            LATENCY_OVER_CHAIN,
            q=q,
            goal=(chain_goals or {}).get(q),
        )


def _barge_ins(key: str, title: str, select: Select, goal: float | None = None) -> Metric:
    form, value, over = Form.PER_MINUTE, "false_barge_ins", "speaking"
    title = f"false barge-ins, {title}"
    return Metric(f"barge_ins_{key}", title, form, "lower", select, value, over, goal=goal)


def _of(check: FindingCheck, *kinds: Kind) -> Select:
    return lambda f: f.check is check and (not kinds or f.kind in kinds)


def _tried(check: FindingCheck) -> Select:
    return lambda f: f.check is check and f.ok is not None and f.kind not in EVERYDAY


def _with(value: str) -> Select:
    return lambda f: value in f.values and f.kind not in EVERYDAY


def _noise(low: float, high: float) -> Select:
    """Select noisy conversations whose signal-to-noise ratio is in [``low``, ``high``) dB."""
    noisy = _of(FindingCheck.EXPOSURE, Kind.NOISE)
    return lambda f: noisy(f) and low <= f.values["snr"] < high


def _side_talk(kind: Kind, over_reply: float) -> Select:
    of = _of(FindingCheck.SIDE_TALK, kind)
    return lambda f: of(f) and f.values.get("over_reply") == over_reply


_TURN = _of(FindingCheck.TURN, Kind.TURN, Kind.MONOLOGUE)
_ANSWERED = _of(FindingCheck.TURN, Kind.TURN, Kind.MONOLOGUE, Kind.PAUSE)
_IN_NOISE = _of(FindingCheck.TURN, Kind.NOISE)
_PAUSE = _of(FindingCheck.PAUSE, Kind.PAUSE)
_ICC = _of(FindingCheck.PAUSE, Kind.LISTENING)
_BACKCHANNEL = _tried(FindingCheck.BACKCHANNEL)
_CUT_IN = _tried(FindingCheck.INTERRUPTION)
_CORRECTION = _tried(FindingCheck.CORRECTION)
_SIDE_TALK_OVER, _SIDE_TALK_ALONE = (_side_talk(Kind.SIDE_TALK, over) for over in (1, 0))
_ECHO = _of(FindingCheck.EXPOSURE, Kind.ECHO)
_NOBODY = _of(FindingCheck.EXPOSURE, Kind.NOISE, Kind.SILENCE)
_WORDS = _of(FindingCheck.FIRST_WORDS, *(set(Kind) - EVERYDAY))

METRICS = (
    # Full-Duplex-Bench v1's four tasks
    _share("pause_takeover", "pause: takeover rate", "lower", _PAUSE, "takeover", 0.05),
    _share("listening_takeover", "user goes on (ICC): takeover rate", "lower", _ICC, "takeover"),
    _share(
        "backchannel_takeover",
        "backchannel: takeover rate",
        "lower",
        _BACKCHANNEL,
        "takeover",
        0.05,
    ),
    _share("turn_takeover", "turn-taking: takeover rate", "higher", _TURN, "takeover", 0.98),
    *_seconds("turn_decision", "turn-taking: decision", _TURN, "decision", goal=0.5),
    *_seconds(
        "turn_latency", "turn-taking: latency", _TURN, LATENCY, (90, 95), chain_goals=_CHAIN_GOALS
    ),
    _share("interruption_takeover", "interruption: takeover rate", "higher", _CUT_IN, "takeover"),
    *_seconds("interruption_latency", "interruption: latency", _CUT_IN, LATENCY),
    _share("interruption_stopped", "interruption: caught", "higher", _CUT_IN, "stopped", 0.98),
    *_seconds("interruption_stop", "interruption: stop", _CUT_IN, "stop", (90,), goal=0.35),
    _share("pause_silent", "pause: not a sound", "higher", _PAUSE, "silent"),
    # Covo's four success rates
    _share("turn_success", "success: turn-taking", "higher", _TURN, "ok"),
    _share("pause_success", "success: pause handling", "higher", _PAUSE, "ok"),
    _share("backchannel_success", "success: backchannel", "higher", _BACKCHANNEL, "ok"),
    _share("interruption_success", "success: interruption", "higher", _CUT_IN, "ok"),
    # Our own
    _share("correction_success", "success: self-correction", "higher", _CORRECTION, "ok"),
    _share(
        "side_talk_takeover",
        "side talk over a reply",
        "lower",
        _side_talk(Kind.SIDE_TALK, 1),
        "takeover",
    ),
    _share(
        "side_talk_answered",
        "side talk in silence",
        "lower",
        _side_talk(Kind.SIDE_TALK, 0),
        "takeover",
    ),
    _share("noise_turn_takeover", "turns in noise: takeover", "higher", _IN_NOISE, "takeover"),
    _share("noise_turn_success", "turns in noise: success", "higher", _IN_NOISE, "ok"),
    Metric(
        "noise_turn_decision",
        "turns in noise: decision",
        Form.SECONDS,
        "lower",
        _IN_NOISE,
        "decision",
    ),
    _share(
        "false_alarm_resumed",
        "false alarms: reply came back",
        "higher",
        _with("resumed"),
        "resumed",
    ),
    *_seconds("false_alarm_resume", "false alarm: back after", _with("resume"), "resume"),
    _barge_ins("noise_20", "20 dB noise", _noise(15, math.inf)),
    _barge_ins("noise_10", "10 dB noise", _noise(7.5, 15), 0.2),
    _barge_ins("noise_5", "5 dB noise", _noise(-math.inf, 7.5)),
    _barge_ins("echo", "echo", _ECHO, 0.0),
    Metric(
        "false_turns", "answers to nobody", Form.PER_MINUTE, "lower", _NOBODY, "false_turns", "idle"
    ),
    Metric("first_words", "first words lost", Form.SHARE, "lower", _WORDS, "lost", "of", goal=0.01),
    *_seconds("latency", "all answers: latency", _ANSWERED, LATENCY, (90, 99)),
)
"""In report order."""
