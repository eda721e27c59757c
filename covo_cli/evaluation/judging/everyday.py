"""The figures of the everyday kinds; see :mod:`covo_cli.evaluation.judging.metrics`."""

from __future__ import annotations

from collections.abc import Iterator

from covo_cli.evaluation import EVERYDAY, Kind
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

_LATENCY_GOALS = {50: 0.8, 90: 1.2}
_COMPLETE = (Kind.TURN, Kind.SHORT_END, Kind.STATEMENT)


def _complete() -> Iterator[Metric]:
    """Yield the figures of turns that are said in one go, together and by kind."""
    turns = findings_on(FindingCheck.TURN, *_COMPLETE)
    title, goals = "complete turns", _LATENCY_GOALS
    yield share("complete_takeover", f"{title}: takeover rate", "higher", turns, "takeover", 0.98)
    yield from times("complete_decision", f"{title}: decision", turns, "decision", (), {50: 0.5})
    yield from times(
        "complete_latency", f"{title}: latency", turns, LATENCY, (90,), goals, CHAIN_GOALS
    )
    for kind in _COMPLETE:
        of, key = findings_on(FindingCheck.TURN, kind), f"complete_{kind.replace(' ', '_')}"
        title = f"complete, {kind}"
        yield from times(f"{key}_decision", f"{title}: decision", of, "decision")
        yield from times(f"{key}_latency", f"{title}: latency", of, LATENCY, (90,))
        goal = 0.05 if kind is Kind.SHORT_END else None
        yield share(f"{key}_cut", f"{title}: taken for cut", "lower", of, "cut", goal)


def _pauses(
    key: str, title: str, select: Select, takeover: float | None, begun: float | None = None
) -> Iterator[Metric]:
    """Yield the figures of pauses in one place; ``takeover``, ``begun``: goals.

    Where replies may begin, each must be taken back.
    """
    back = None if begun is None else 1.0
    yield share(f"{key}_takeover", f"{title}: takeover rate", "lower", select, "takeover", takeover)
    yield share(f"{key}_begun", f"{title}: reply begun", "lower", select, "begun", begun)
    yield share(f"{key}_back", f"{title}: taken back", "higher", select, "taken_back", back)


def _placed(between: bool) -> Select:
    pause = findings_on(FindingCheck.PAUSE, Kind.PAUSE)
    return lambda f: pause(f) and f.values.get("between") == between


def _beside(check: FindingCheck) -> Select:
    of = findings_on(check, Kind.BYSTANDER)
    return lambda f: of(f) and f.ok is not None


_STORY_PAUSE = findings_on(FindingCheck.PAUSE, Kind.STORY)
_SPELLING_PAUSE = findings_on(FindingCheck.PAUSE, Kind.SPELLING)
_STORY = findings_on(FindingCheck.TURN, Kind.STORY)
_SPELLING = findings_on(FindingCheck.TURN, Kind.SPELLING)
_TURNS_BESIDE = _beside(FindingCheck.TURN)
_CUT_IN_BESIDE = _beside(FindingCheck.INTERRUPTION)

EVERYDAY_METRICS = (
    *_complete(),
    *_pauses("pause_inside", "pause inside a sentence", _placed(False), 0.05),
    *_pauses("spelling", "pause while spelling", _SPELLING_PAUSE, 0.05),
    *_pauses("pause_between", "pause between sentences", _placed(True), None),
    *_pauses("story", "pause in a story", _STORY_PAUSE, None, 0.15),
    share("story_answered", "story: answered", "higher", _STORY, "takeover"),
    *times("story_latency", "story: latency", _STORY, LATENCY, (90,)),
    share("spelling_answered", "spelling: answered", "higher", _SPELLING, "takeover"),
    *times("spelling_latency", "spelling: latency", _SPELLING, LATENCY, (90,)),
    share(
        "bystander_answered",
        "bystander in silence",
        "lower",
        side_talk(Kind.BYSTANDER, 0),
        "takeover",
        0.15,
    ),
    share(
        "bystander_over",
        "bystander over a reply",
        "lower",
        side_talk(Kind.BYSTANDER, 1),
        "takeover",
        0.1,
    ),
    share(
        "bystander_turns",
        "beside a bystander: turns answered",
        "higher",
        _TURNS_BESIDE,
        "takeover",
        0.98,
    ),
    share(
        "bystander_interruptions",
        "beside a bystander: interruptions caught",
        "higher",
        _CUT_IN_BESIDE,
        "stopped",
        0.98,
    ),
    share(
        "bystander_command",
        "bystander's command: stopped",
        "higher",
        _beside(FindingCheck.COMMAND),
        "stopped",
    ),
    Metric(
        "everyday_first_words",
        "everyday kinds: first words lost",
        Form.SHARE,
        "lower",
        findings_on(FindingCheck.FIRST_WORDS, *EVERYDAY),
        "lost",
        "of",
    ),
)
"""In report order."""
