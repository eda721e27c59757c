"""The figures of a run and the findings that each is computed from.

docs/evaluation.md has every definition with its source.
"""

from __future__ import annotations

import math

from covo_cli.evaluation import EVERYDAY, Kind
from covo_cli.evaluation.judging.everyday import EVERYDAY_METRICS
from covo_cli.evaluation.judging.finding import LATENCY, FindingCheck
from covo_cli.evaluation.judging.metric import (
    CHAIN_GOALS,
    Form,
    Metric,
    Select,
    findings_on,
    share,
    side_talk,
    times,
)


def _barge_ins(key: str, title: str, select: Select, goal: float | None = None) -> Metric:
    form, value, over = Form.PER_MINUTE, "false_barge_ins", "speaking"
    title = f"false barge-ins, {title}"
    return Metric(f"barge_ins_{key}", title, form, "lower", select, value, over, goal=goal)


def _tried(check: FindingCheck) -> Select:
    return lambda f: f.check is check and f.ok is not None and f.kind not in EVERYDAY


def _with(value: str) -> Select:
    return lambda f: value in f.values and f.kind not in EVERYDAY


def _noise(low: float, high: float) -> Select:
    """Select noisy conversations whose signal-to-noise ratio is in [``low``, ``high``) dB."""
    noisy = findings_on(FindingCheck.EXPOSURE, Kind.NOISE)
    return lambda f: noisy(f) and low <= f.values["snr"] < high


_TURN = findings_on(FindingCheck.TURN, Kind.TURN, Kind.MONOLOGUE)
_ANSWERED = findings_on(FindingCheck.TURN, Kind.TURN, Kind.MONOLOGUE, Kind.PAUSE)
_IN_NOISE = findings_on(FindingCheck.TURN, Kind.NOISE)
_PAUSE = findings_on(FindingCheck.PAUSE, Kind.PAUSE)
_ICC = findings_on(FindingCheck.PAUSE, Kind.LISTENING)
_BACKCHANNEL = _tried(FindingCheck.BACKCHANNEL)
_CUT_IN = _tried(FindingCheck.INTERRUPTION)
_CORRECTION = _tried(FindingCheck.CORRECTION)
_ECHO = findings_on(FindingCheck.EXPOSURE, Kind.ECHO)
_NOBODY = findings_on(FindingCheck.EXPOSURE, Kind.NOISE, Kind.SILENCE)
_WORDS = findings_on(FindingCheck.FIRST_WORDS, *(set(Kind) - EVERYDAY))

METRICS = (
    # Full-Duplex-Bench v1's four tasks
    share("pause_takeover", "pause: takeover rate", "lower", _PAUSE, "takeover", 0.05),
    share("listening_takeover", "user goes on (ICC): takeover rate", "lower", _ICC, "takeover"),
    share(
        "backchannel_takeover",
        "backchannel: takeover rate",
        "lower",
        _BACKCHANNEL,
        "takeover",
        0.05,
    ),
    share("turn_takeover", "turn-taking: takeover rate", "higher", _TURN, "takeover", 0.98),
    *times("turn_decision", "turn-taking: decision", _TURN, "decision", goals={50: 0.5}),
    *times(
        "turn_latency", "turn-taking: latency", _TURN, LATENCY, (90, 95), chain_goals=CHAIN_GOALS
    ),
    share("interruption_takeover", "interruption: takeover rate", "higher", _CUT_IN, "takeover"),
    *times("interruption_latency", "interruption: latency", _CUT_IN, LATENCY),
    share("interruption_stopped", "interruption: caught", "higher", _CUT_IN, "stopped", 0.98),
    *times("interruption_stop", "interruption: stop", _CUT_IN, "stop", (90,), goals={50: 0.35}),
    share("pause_silent", "pause: not a sound", "higher", _PAUSE, "silent"),
    # Covo's four success rates
    share("turn_success", "success: turn-taking", "higher", _TURN, "ok"),
    share("pause_success", "success: pause handling", "higher", _PAUSE, "ok"),
    share("backchannel_success", "success: backchannel", "higher", _BACKCHANNEL, "ok"),
    share("interruption_success", "success: interruption", "higher", _CUT_IN, "ok"),
    # Our own
    share("correction_success", "success: self-correction", "higher", _CORRECTION, "ok"),
    share(
        "side_talk_takeover",
        "side talk over a reply",
        "lower",
        side_talk(Kind.SIDE_TALK, 1),
        "takeover",
    ),
    share(
        "side_talk_answered",
        "side talk in silence",
        "lower",
        side_talk(Kind.SIDE_TALK, 0),
        "takeover",
    ),
    share("noise_turn_takeover", "turns in noise: takeover", "higher", _IN_NOISE, "takeover"),
    share("noise_turn_success", "turns in noise: success", "higher", _IN_NOISE, "ok"),
    Metric(
        "noise_turn_decision",
        "turns in noise: decision",
        Form.SECONDS,
        "lower",
        _IN_NOISE,
        "decision",
    ),
    share(
        "false_alarm_resumed",
        "false alarms: reply came back",
        "higher",
        _with("resumed"),
        "resumed",
    ),
    *times("false_alarm_resume", "false alarm: back after", _with("resume"), "resume"),
    _barge_ins("noise_20", "20 dB noise", _noise(15, math.inf)),
    _barge_ins("noise_10", "10 dB noise", _noise(7.5, 15), 0.2),
    _barge_ins("noise_5", "5 dB noise", _noise(-math.inf, 7.5)),
    _barge_ins("echo", "echo", _ECHO, 0.0),
    Metric(
        "false_turns", "answers to nobody", Form.PER_MINUTE, "lower", _NOBODY, "false_turns", "idle"
    ),
    Metric("first_words", "first words lost", Form.SHARE, "lower", _WORDS, "lost", "of", goal=0.01),
    *times("latency", "all answers: latency", _ANSWERED, LATENCY, (90, 99)),
    *EVERYDAY_METRICS,
)
"""In report order."""
