"""Figures with their intervals, from findings made by hand; and the comparison of two runs."""

from __future__ import annotations

import json

import pytest

from covo_cli.evaluation import Kind
from covo_cli.evaluation.judging.finding import Finding, FindingCheck
from covo_cli.evaluation.judging.metric import Form
from covo_cli.evaluation.judging.metrics import METRICS
from covo_cli.evaluation.judging.statistics import (
    Estimate,
    difference,
    per_minute,
    percentile,
    rate,
)
from covo_cli.evaluation.reporting.compare import compare
from covo_cli.evaluation.reporting.report import Report, _as_file, markdown
from covo_cli.evaluation.running.run import RunRecord
from covo_cli.evaluation.scenarios.scenario import to_json

RUN = {
    "set": "small",
    "set_sha256": "0" * 64,
    "engine": "lite",
    "recognizer": "the engine's own",
    "settings": {},
    "code_sha256": "1" * 64,
    "scenarios": 10,
    "conversations": 10,
    "load": 0.1,
    "jobs": 1,
    "threads": 1,
    "machine": {"command": "covo eval", "processor": "a CPU", "cores": 2, "time": "now"},
}


def finding(n: int, kind: Kind, check: FindingCheck, ok: bool | None, **values: float) -> Finding:
    return Finding(f"{kind}-{n}".replace(" ", "-"), kind, check, 0, ok, values)


def report(*findings: Finding, **run: object) -> Report:
    return Report(RunRecord(**{**RUN, **run}), findings)


def figures(*findings: Finding, **run: object) -> dict[str, Estimate]:
    return {metric.key: value for metric, value in report(*findings, **run).estimates()}


# Statistics, against published or closed-form values


def test_wilsons_interval():
    """Newcombe (1998), table I: 81 of 263 is 0.2553 to 0.3662 by the score method."""
    assert rate(81, 263) == Estimate(
        pytest.approx(0.3080, abs=1e-4),
        pytest.approx(0.2553, abs=1e-4),
        pytest.approx(0.3662, abs=1e-4),
        263,
    )
    assert (rate(0, 20).low, rate(20, 20).high) == (0.0, 1.0)


def test_the_interval_of_a_frequency():
    """No event in 10 minutes: at most -ln(0.025) / 10 a minute."""
    none = per_minute(0, 10.0)
    assert (none.value, none.low, none.high) == (0.0, 0.0, pytest.approx(0.36889, abs=1e-4))
    assert per_minute(10, 10.0).low == pytest.approx(0.4795, abs=1e-3)


def test_the_interval_of_a_median_holds_it_and_is_the_same_every_time():
    values = [0.1 * n for n in range(41)]
    estimate = percentile(values, 50)
    assert estimate.value == pytest.approx(2.0)
    assert 1.2 < estimate.low < 2.0 < estimate.high < 2.8
    assert percentile(values, 50) == estimate


def test_the_difference_of_two_shares_is_newcombes():
    """Newcombe (1998), paper 2, table II: 56/70 - 48/80 is 0.0524 to 0.3339 by method 10."""
    change = difference(rate(48, 80), rate(56, 70))
    assert change.value == pytest.approx(0.2)
    assert (change.low, change.high) == (
        pytest.approx(0.0524, abs=1e-4),
        pytest.approx(0.3339, abs=1e-4),
    )


# Metrics


def test_takeover_rates_count_each_kind_by_itself():
    got = figures(
        *(
            finding(n, Kind.PAUSE, FindingCheck.PAUSE, n > 0, takeover=float(n == 0))
            for n in range(4)
        ),
        *(
            finding(n, Kind.TURN, FindingCheck.TURN, True, takeover=1.0, latency=0.7)
            for n in range(5)
        ),
        finding(0, Kind.NOISE, FindingCheck.TURN, False, takeover=0.0),
    )
    assert got["pause_takeover"].value == 0.25
    assert got["turn_takeover"].value == 1.0
    assert got["noise_turn_takeover"].value == 0.0
    assert got["pause_success"].value == 0.75
    assert got["turn_latency"].n == 5


def test_a_user_who_goes_on_is_no_pause():
    got = figures(
        finding(0, Kind.PAUSE, FindingCheck.PAUSE, True, takeover=0.0, silent=1.0),
        finding(0, Kind.LISTENING, FindingCheck.PAUSE, False, takeover=1.0, silent=0.0),
    )
    for key in ("pause_takeover", "pause_success", "pause_silent", "listening_takeover"):
        assert got[key].n == 1
    assert got["pause_success"].value == 1.0
    assert got["listening_takeover"].value == 1.0


def test_what_could_not_be_tried_does_not_count():
    got = figures(
        finding(0, Kind.BACKCHANNEL, FindingCheck.BACKCHANNEL, True, takeover=0.0),
        finding(1, Kind.BACKCHANNEL, FindingCheck.BACKCHANNEL, None),
        finding(0, Kind.INTERRUPTION, FindingCheck.INTERRUPTION, None, takeover=1.0),
    )
    assert got["backchannel_takeover"].n == 1
    assert "interruption_takeover" not in got


def test_false_barge_ins_are_counted_by_the_minute_and_by_the_noise():
    got = figures(
        finding(
            0, Kind.NOISE, FindingCheck.EXPOSURE, False, snr=10, false_barge_ins=2, speaking=90.0
        ),
        finding(
            1, Kind.NOISE, FindingCheck.EXPOSURE, True, snr=10, false_barge_ins=0, speaking=150.0
        ),
        finding(
            2, Kind.NOISE, FindingCheck.EXPOSURE, True, snr=20, false_barge_ins=0, speaking=60.0
        ),
        finding(
            3, Kind.NOISE, FindingCheck.EXPOSURE, True, snr=15, false_barge_ins=0, speaking=60.0
        ),
        finding(0, Kind.ECHO, FindingCheck.EXPOSURE, True, false_barge_ins=0, speaking=30.0),
    )
    assert (got["barge_ins_noise_10"].value, got["barge_ins_noise_10"].n) == (0.5, 4.0)
    assert (got["barge_ins_noise_20"].value, got["barge_ins_noise_20"].n) == (0.0, 2.0)
    assert got["barge_ins_echo"].n == 0.5


def test_first_words_are_a_share_of_words_and_no_merit_of_an_oracle():
    findings = (
        finding(0, Kind.TURN, FindingCheck.FIRST_WORDS, False, lost=1, of=3),
        finding(1, Kind.TURN, FindingCheck.FIRST_WORDS, True, lost=0, of=1),
    )
    assert (figures(*findings)["first_words"].value, figures(*findings)["first_words"].n) == (
        0.25,
        4,
    )
    assert "first_words" not in figures(*findings, recognizer="oracle")


def test_the_report_says_what_the_oracle_cannot_judge_and_which_kinds_were_run():
    pause = finding(0, Kind.STORY, FindingCheck.PAUSE, True, begun=1.0, taken_back=1.0)
    text = markdown(report(pause, recognizer="oracle", only=("short end", "story")))
    assert "a reply taken back is judged by its time alone" in text
    assert "only the kinds short end, story" in text
    assert "time alone" not in markdown(report(pause))


def test_a_goal_is_met_on_its_own_side():
    by_key = {metric.key: metric for metric in METRICS}
    assert len(by_key) == len(METRICS)
    assert by_key["turn_takeover"].met(rate(99, 100))
    assert not by_key["turn_takeover"].met(rate(97, 100))
    assert by_key["pause_takeover"].met(rate(5, 100))
    assert not by_key["pause_takeover"].met(rate(6, 100))
    assert by_key["turn_latency"].met(percentile([1.0], 50)) is None


def test_the_everyday_kinds_do_not_count_in_figures_of_others():
    checks = [check for check in FindingCheck if check is not FindingCheck.EXPOSURE]
    values = {"takeover": 1.0, "over_reply": 0.0, "latency": 0.5, "lost": 1, "of": 3, "resumed": 1}
    got = figures(*(finding(0, Kind.BYSTANDER, check, True, **values) for check in checks))
    others = {"interruption_takeover", "side_talk_answered", "first_words", "false_alarm_resumed"}
    assert not got.keys() & others


def test_complete_turns_are_questions_short_ends_and_statements():
    got = figures(
        *(
            finding(n, kind, FindingCheck.TURN, True, takeover=1.0, latency=late, decision=late / 2)
            for n, (kind, late) in enumerate(
                [
                    (Kind.TURN, 0.6),
                    (Kind.SHORT_END, 0.7),
                    (Kind.STATEMENT, 2.6),
                    (Kind.STORY, 9.0),
                    (Kind.MONOLOGUE, 9.0),
                ]
            )
        )
    )
    assert got["complete_latency"].n == 3
    assert got["complete_latency"].value == pytest.approx(0.7)
    assert got["complete_latency_p90"].value == pytest.approx(0.7 + 0.8 * 1.9)
    assert got["complete_decision"].value == pytest.approx(0.35)
    assert got["complete_statement_latency"].value == pytest.approx(2.6)
    assert got["turn_latency"].n == 2  # as before: questions and monologues


def test_turns_taken_for_cut_are_a_share_of_their_kind():
    got = figures(
        *(finding(n, Kind.SHORT_END, FindingCheck.TURN, True, cut=float(n < 1)) for n in range(4)),
        finding(0, Kind.STATEMENT, FindingCheck.TURN, True, cut=1.0),
    )
    assert (got["complete_short_end_cut"].value, got["complete_short_end_cut"].n) == (0.25, 4)
    assert got["complete_statement_cut"].value == 1.0


def test_pauses_are_counted_by_their_place():
    def pause(n: int, kind: Kind, between: int, **values: float) -> Finding:
        return finding(n, kind, FindingCheck.PAUSE, True, between=float(between), **values)

    got = figures(
        pause(0, Kind.PAUSE, 0, takeover=1.0, begun=1.0, taken_back=0.0),
        pause(1, Kind.PAUSE, 0, takeover=0.0, begun=0.0),
        pause(2, Kind.PAUSE, 1, takeover=0.0, begun=1.0, taken_back=1.0),
        pause(3, Kind.SPELLING, 0, takeover=0.0, begun=0.0),
        *(pause(n, Kind.STORY, 1, takeover=0.0, begun=1.0, taken_back=n % 2) for n in range(4)),
        *(pause(n, Kind.STORY, 1, takeover=0.0, begun=0.0) for n in range(4, 8)),
    )
    shares = {key: (value.value, value.n) for key, value in got.items()}
    assert shares["pause_inside_takeover"] == (0.5, 2)
    assert shares["pause_inside_back"] == (0.0, 1)
    assert shares["pause_between_takeover"] == (0.0, 1)
    assert shares["pause_between_back"] == (1.0, 1)
    assert shares["spelling_takeover"] == (0.0, 1)
    assert shares["story_begun"] == (0.5, 8)
    assert shares["story_back"] == (0.5, 4)
    assert shares["pause_takeover"] == (pytest.approx(1 / 3, abs=1e-4), 3)  # as before


def test_bystanders_have_figures_of_their_own():
    def spoke(n: int, over: float, takeover: float) -> Finding:
        check = FindingCheck.SIDE_TALK
        return finding(n, Kind.BYSTANDER, check, True, over_reply=over, takeover=takeover)

    got = figures(
        *(spoke(n, 0.0, float(n < 3)) for n in range(4)),
        *(spoke(n, 1.0, float(n < 1)) for n in range(4)),
        finding(0, Kind.BYSTANDER, FindingCheck.TURN, True, takeover=1.0),
        finding(0, Kind.BYSTANDER, FindingCheck.INTERRUPTION, True, stopped=1.0),
        finding(1, Kind.BYSTANDER, FindingCheck.INTERRUPTION, None, takeover=1.0),
        finding(0, Kind.BYSTANDER, FindingCheck.COMMAND, True, stopped=0.0),
    )
    shares = {key: (value.value, value.n) for key, value in got.items()}
    assert shares["bystander_answered"] == (0.75, 4)
    assert shares["bystander_over"] == (0.25, 4)
    assert shares["bystander_turns"] == (1.0, 1)
    assert shares["bystander_interruptions"] == (1.0, 1)
    assert shares["bystander_command"] == (0.0, 1)


def test_the_goals_of_everyday_speech():
    goals = {metric.key: (metric.better, metric.goal) for metric in METRICS}
    expected = {
        "complete_latency": ("lower", 0.8),
        "complete_latency_p90": ("lower", 1.2),
        "complete_decision": ("lower", 0.5),
        "pause_inside_takeover": ("lower", 0.05),
        "spelling_takeover": ("lower", 0.05),
        "story_begun": ("lower", 0.15),
        "story_back": ("higher", 1.0),
        "complete_short_end_cut": ("lower", 0.05),
        "bystander_answered": ("lower", 0.15),
        "bystander_over": ("lower", 0.1),
        "bystander_turns": ("higher", 0.98),
        "bystander_interruptions": ("higher", 0.98),
    }
    assert {key: goals[key] for key in expected} == expected


# The report


def test_the_report_has_every_figure_the_failures_and_the_published_rows():
    wrong = Finding(
        "pause-7", Kind.PAUSE, FindingCheck.PAUSE, 0, False, {"takeover": 1.0}, "it spoke"
    )
    text = markdown(report(wrong, finding(1, Kind.PAUSE, FindingCheck.PAUSE, True, takeover=0.0)))
    assert "| pause: takeover rate | 0.500 | 0.095 to 0.905 | 2 | ≤ 0.050 | **no** |" in text
    assert "- pause-7: pause: it spoke" in text
    assert "| **covo, lite** (set small) | 0.500 |" in text
    assert "| Moshi | 0.985 | 0.980 | 1.000 | 0.941 | 0.265 | 1.000 | 0.257 |" in text


def test_the_json_has_the_figures_and_is_json():
    record = json.loads(
        to_json(_as_file(report(finding(0, Kind.TURN, FindingCheck.TURN, True, latency=0.7))))
    )
    assert record["metrics"]["turn_latency"]["value"] == 0.7
    assert record["metrics"]["turn_latency"]["unit"] == Form.SECONDS
    assert record["findings"][0]["scenario"] == "turn-0"


# Two runs


def test_a_comparison_tells_what_is_surely_different_and_what_went_differently():
    def run(takeovers: int, broken: int) -> Report:
        pauses = [
            finding(
                n, Kind.PAUSE, FindingCheck.PAUSE, n >= takeovers, takeover=float(n < takeovers)
            )
            for n in range(40)
        ]
        turns = [
            finding(
                n, Kind.TURN, FindingCheck.TURN, n != broken, takeover=1.0, latency=0.7 + 0.01 * n
            )
            for n in range(5)
        ]
        return report(*pauses, *turns, settings={"broken": broken})

    comparison = compare(run(30, 9), run(3, 4))
    by_key = {row.metric.key: row for row in comparison.differences}
    assert by_key["pause_takeover"].verdict == "better"
    assert by_key["pause_takeover"].change.value == pytest.approx(-0.675)
    assert by_key["pause_success"].verdict == "better"
    assert by_key["turn_latency"].verdict == ""
    assert len(comparison.mended) == 27
    assert list(comparison.broken) == ["turn-4"]
    assert comparison.differing == {"settings": ({"broken": 9}, {"broken": 4})}
    assert compare(run(3, 4), run(30, 9)).differences[0].verdict == "worse"
