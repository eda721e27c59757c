"""Turn taking as a state machine, explored: every event in hundreds of states of every situation,
in the corners of the settings. No state is a dead end, and no turn is answered twice."""

from __future__ import annotations

import heapq
from collections import Counter
from itertools import count
from typing import Any

import pytest

from model.engine import Interrupt, PushToTalk, SayText, SetMuted
from model.events import TurnState
from model.turns.turn_settings import HumSettings, TurnSettings
from tests.fakes.copyable import BROKEN, NO_ANSWER, SOMEBODY_ELSE
from tests.model.turns.turn_machine import Machine

SAY = {
    **{"words": "stop that now", "backchannel": "yeah", "open": "and", "statement": "i like it"},
    **{"no answer": NO_ANSWER, "break down": BROKEN, "noise": ""},
    "somebody else": SOMEBODY_ELSE,
}

EVENTS: dict[str, tuple[str | None, Any, bool]] = {
    "silence": (None, None, False),
    **{name: (words, None, False) for name, words in SAY.items()},
    "stuck": (None, None, True),
    "interrupt": (None, Interrupt(), False),
    "type": (None, SayText("typed"), False),
    "push": (None, PushToTalk(True), False),
    "push and talk": ("stop that now", PushToTalk(True), False),
    "release": (None, PushToTalk(False), False),
    "mute": (None, SetMuted(True), False),
    "unmute": (None, SetMuted(False), False),
}

USUAL = {
    "silence": 0.4,
    "silence_finished": 0.2,
    "silence_statement": 0.5,
    "silence_unfinished": 0.7,
    "words_wait": 0.3,
    "speculate_after": 0.1,
    "min_speech": 0.1,
    "max_turn": 2.0,
    "onset": 0.1,
    "barge_in_confirm": 0.2,
    "barge_in_limit": 0.4,
    "barge_in_release": 0.2,
    "continuation": 0.2,
    "pre_roll": 0.1,
    "partial_every": 0.2,
    "deaf_after": 0.2,
}
STORY = ("open", "open", "silence", "silence", "open", "open")
"""What goes before where hums are explored: they come late in a turn."""
HUMMING = HumSettings(after=0.2, story=0.2, pause=0.1, margin=0.1, again=0.3)
CORNERS: dict[str, dict[str, Any]] = {
    "usual": {},
    "no barge-in": {"barge_in": False},
    "no speculation": {"speculate_after": 0.7},
    "all silences alike": {
        "silence": 0.2,
        "silence_statement": 0.2,
        "silence_unfinished": 0.2,
        "speculate_after": 0.2,
    },
    "words never waited for": {"words_wait": 0.0, "silence": 0.1, "silence_finished": 0.1},
    "confirmed before it is noticed": {"onset": 0.2, "barge_in_confirm": 0.1},
    "limit below confirm": {"barge_in_confirm": 0.5, "barge_in_limit": 0.2},
    "long noises": {"min_speech": 0.5},
    "short turns": {"max_turn": 0.4},
    "always premature": {"continuation": 9.0},
    "never premature": {"continuation": 0.0},
    "slow to return": {"barge_in_release": 1.5},
    "humming": {"humming": HUMMING},
    "humming without barge-in": {"humming": HUMMING, "barge_in": False},
}
RESTING = (TurnState.LISTENING, TurnState.MUTED)
MOST_STEPS, EACH_TYPED = 80, 20
"""8 s of silence, in which any timer of the settings explored runs out, and what it takes to answer
a line that was typed."""


def explore(settings: TurnSettings, *, words: bool, most: int) -> tuple[int, int]:
    """What every event leads to, from ``most`` different states: those first whose situation was
    met least, so that the rare ones have their turn. Returns how many situations were met, and the
    most hums on one way.

    Each state is also left alone, and must come to rest.
    """
    first = Machine(settings, words=words)
    for name in STORY if settings.humming is not None else ():
        attempt(first, EVENTS[name], STORY)
    seen = {first.key()}
    met: Counter[Any] = Counter()
    restful: set[Any] = set()
    hums = 0
    order = count()
    # Most states are never gone on from: what is put off is the last step there, not a copy.
    todo: list[Any] = [(0, 0, next(order), first.situation, first.copies(), ())]
    while todo and met.total() < most:
        times, length, _, kind, before, path = heapq.heappop(todo)
        if times < met[kind]:  # met more often since it was put off
            heapq.heappush(todo, (met[kind], length, next(order), kind, before, path))
            continue
        met[kind] += 1
        machine = next(before)
        if path:
            attempt(machine, EVENTS[path[-1]], path)
        copies = machine.copies()
        for name, event in EVENTS.items():
            after, trace = next(copies), (*path, name)
            attempt(after, event, trace)
            key = after.key()
            if key not in seen:
                seen.add(key)
                kind = after.situation
                heapq.heappush(todo, (met[kind], len(trace), next(order), kind, copies, trace))
                come_to_rest(after, trace, restful)
                hums = max(hums, after.hums)
    return len(met), hums


def attempt(machine: Machine, event: tuple[str | None, Any, bool], path: tuple[str, ...]) -> None:
    words, command, stuck = event
    try:
        machine.step(words, command, stuck=stuck)
    except Exception as error:
        error.add_note(f"after {', '.join(path)}")
        raise


def come_to_rest(machine: Machine, path: tuple[str, ...], restful: set[Any]) -> None:
    """Leave it alone: released, in silence, it must rest with nothing left over."""
    attempt(machine, EVENTS["release"], (*path, "rest"))
    passed, looked_at = [], None
    for _ in range(MOST_STEPS + EACH_TYPED * path.count("type")):
        if machine.state in RESTING and not machine.engine.busy:
            machine.check_rest()
            break
        # Ways that have met go on together: they are found to have met where the state changes.
        if machine.state is not looked_at:
            looked_at, key = machine.state, machine.key()
            if key in restful:
                break
            passed.append(key)
        attempt(machine, EVENTS["silence"], (*path, "rest"))
    else:
        pytest.fail(f"{machine.state} is a dead end after {', '.join(path)}")
    restful.update(passed)


@pytest.mark.parametrize("words", [True, False], ids=["with words", "by sound"])
@pytest.mark.parametrize("corner", CORNERS)
def test_every_order_of_events_ends_in_rest_with_every_turn_answered_once(corner, words):
    settings = TurnSettings(**{**USUAL, **CORNERS[corner]})
    most, situations = (150, 50) if corner == "usual" else (40, 15)
    found, hums = explore(settings, words=words, most=most)
    assert found > situations
    assert (hums > 0) == (settings.humming is not None)
