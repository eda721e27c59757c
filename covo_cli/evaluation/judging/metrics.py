"""The figures of a run, in the order in which they are reported.

docs/evaluation.md has every definition with its source.
"""

from __future__ import annotations

import math

from covo_cli.evaluation.judging.finding import Check, Finding
from covo_cli.evaluation.judging.metric import Form, Metric, Select
from covo_cli.evaluation.scenarios.scenario import Kind


def _of(check: Check, *kinds: Kind) -> Select:
    return lambda f: f.check is check and (not kinds or f.kind in kinds)


def _tried(check: Check) -> Select:
    return lambda f: f.check is check and f.ok is not None


def _noise(low: float, high: float) -> Select:
    def select(f: Finding) -> bool:
        noisy = f.check is Check.EXPOSURE and f.kind is Kind.NOISE
        return noisy and low <= f.values["snr"] < high

    return select


_TURN = _of(Check.TURN, Kind.TURN, Kind.MONOLOGUE)
_PAUSE = _of(Check.PAUSE, Kind.PAUSE)
_ANSWERED = (Kind.TURN, Kind.MONOLOGUE, Kind.PAUSE)

METRICS = (
    # Full-Duplex-Bench v1's four
    Metric(
        "pause_takeover",
        "pause: takeover rate",
        Form.SHARE,
        "lower",
        _PAUSE,
        "takeover",
        goal=0.05,
    ),
    Metric(
        "listening_takeover",
        "user goes on (ICC): takeover rate",
        Form.SHARE,
        "lower",
        _of(Check.PAUSE, Kind.LISTENING),
        "takeover",
    ),
    Metric(
        "backchannel_takeover",
        "backchannel: takeover rate",
        Form.SHARE,
        "lower",
        _tried(Check.BACKCHANNEL),
        "takeover",
        goal=0.05,
    ),
    Metric(
        "turn_takeover",
        "turn-taking: takeover rate",
        Form.SHARE,
        "higher",
        _TURN,
        "takeover",
        goal=0.98,
    ),
    Metric(
        "turn_decision",
        "turn-taking: decision, median",
        Form.SECONDS,
        "lower",
        _TURN,
        "decision",
        goal=0.5,
    ),
    Metric("turn_latency", "turn-taking: latency, median", Form.SECONDS, "lower", _TURN, "latency"),
    Metric(
        "turn_latency_p90",
        "turn-taking: latency, 90 %",
        Form.SECONDS,
        "lower",
        _TURN,
        "latency",
        q=90,
    ),
    Metric(
        "turn_latency_p95",
        "turn-taking: latency, 95 %",
        Form.SECONDS,
        "lower",
        _TURN,
        "latency",
        q=95,
    ),
    Metric(
        "interruption_takeover",
        "interruption: takeover rate",
        Form.SHARE,
        "higher",
        _tried(Check.INTERRUPTION),
        "takeover",
    ),
    Metric(
        "interruption_latency",
        "interruption: latency, median",
        Form.SECONDS,
        "lower",
        _tried(Check.INTERRUPTION),
        "latency",
    ),
    Metric(
        "interruption_stopped",
        "interruption: caught",
        Form.SHARE,
        "higher",
        _tried(Check.INTERRUPTION),
        "stopped",
        goal=0.98,
    ),
    Metric(
        "interruption_stop",
        "interruption: stop, median",
        Form.SECONDS,
        "lower",
        _tried(Check.INTERRUPTION),
        "stop",
        goal=0.35,
    ),
    Metric(
        "interruption_stop_p90",
        "interruption: stop, 90 %",
        Form.SECONDS,
        "lower",
        _tried(Check.INTERRUPTION),
        "stop",
        q=90,
    ),
    Metric("pause_silent", "pause: not a sound", Form.SHARE, "higher", _PAUSE, "silent"),
    # Covo's four success rates
    Metric("turn_success", "success: turn-taking", Form.SHARE, "higher", _TURN, "ok"),
    Metric("pause_success", "success: pause handling", Form.SHARE, "higher", _PAUSE, "ok"),
    Metric(
        "backchannel_success",
        "success: backchannel",
        Form.SHARE,
        "higher",
        _tried(Check.BACKCHANNEL),
        "ok",
    ),
    Metric(
        "interruption_success",
        "success: interruption",
        Form.SHARE,
        "higher",
        _tried(Check.INTERRUPTION),
        "ok",
    ),
    # Further
    Metric(
        "correction_success",
        "success: self-correction",
        Form.SHARE,
        "higher",
        _tried(Check.CORRECTION),
        "ok",
    ),
    Metric(
        "side_talk_takeover",
        "side talk over a reply",
        Form.SHARE,
        "lower",
        lambda f: f.check is Check.SIDE_TALK and f.values.get("over_reply") == 1,
        "takeover",
    ),
    Metric(
        "side_talk_answered",
        "side talk in silence",
        Form.SHARE,
        "lower",
        lambda f: f.check is Check.SIDE_TALK and f.values.get("over_reply") == 0,
        "takeover",
    ),
    Metric(
        "noise_turn_takeover",
        "turns in noise: takeover",
        Form.SHARE,
        "higher",
        _of(Check.TURN, Kind.NOISE),
        "takeover",
    ),
    Metric(
        "noise_turn_success",
        "turns in noise: success",
        Form.SHARE,
        "higher",
        _of(Check.TURN, Kind.NOISE),
        "ok",
    ),
    Metric(
        "noise_turn_decision",
        "turns in noise: decision",
        Form.SECONDS,
        "lower",
        _of(Check.TURN, Kind.NOISE),
        "decision",
    ),
    Metric(
        "false_alarm_resumed",
        "false alarms: reply came back",
        Form.SHARE,
        "higher",
        lambda f: "resumed" in f.values,
        "resumed",
    ),
    Metric(
        "false_alarm_resume",
        "false alarm: back after, median",
        Form.SECONDS,
        "lower",
        lambda f: "resume" in f.values,
        "resume",
    ),
    Metric(
        "barge_ins_noise_20",
        "false barge-ins, 20 dB noise",
        Form.PER_MINUTE,
        "lower",
        _noise(15, math.inf),
        "false_barge_ins",
        "speaking",
    ),
    Metric(
        "barge_ins_noise_10",
        "false barge-ins, 10 dB noise",
        Form.PER_MINUTE,
        "lower",
        _noise(7.5, 15),
        "false_barge_ins",
        "speaking",
        goal=0.2,
    ),
    Metric(
        "barge_ins_noise_5",
        "false barge-ins, 5 dB noise",
        Form.PER_MINUTE,
        "lower",
        _noise(-math.inf, 7.5),
        "false_barge_ins",
        "speaking",
    ),
    Metric(
        "barge_ins_echo",
        "false barge-ins, echo",
        Form.PER_MINUTE,
        "lower",
        _of(Check.EXPOSURE, Kind.ECHO),
        "false_barge_ins",
        "speaking",
        goal=0.0,
    ),
    Metric(
        "false_turns",
        "answers to nobody",
        Form.PER_MINUTE,
        "lower",
        _of(Check.EXPOSURE, Kind.NOISE, Kind.SILENCE),
        "false_turns",
        "idle",
    ),
    Metric(
        "first_words",
        "first words lost",
        Form.SHARE,
        "lower",
        _of(Check.FIRST_WORDS),
        "lost",
        "of",
        goal=0.01,
    ),
    Metric(
        "latency",
        "all answers: latency, median",
        Form.SECONDS,
        "lower",
        _of(Check.TURN, *_ANSWERED),
        "latency",
    ),
    Metric(
        "latency_p90",
        "all answers: latency, 90 %",
        Form.SECONDS,
        "lower",
        _of(Check.TURN, *_ANSWERED),
        "latency",
        q=90,
    ),
    Metric(
        "latency_p99",
        "all answers: latency, 99 %",
        Form.SECONDS,
        "lower",
        _of(Check.TURN, *_ANSWERED),
        "latency",
        q=99,
    ),
)
"""In the order in which they are reported."""
