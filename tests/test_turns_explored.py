"""Turn taking as a state machine, explored: every order of events up to a depth, in the corners of
the settings. Whatever happens, no state is a dead end, and no turn is answered twice."""

from __future__ import annotations

from collections import deque
from typing import Any

import pytest

from model.engine import Interrupt, PushToTalk, SayText, SetMuted
from model.events import TurnState
from model.turn_settings import TurnSettings
from tests.turn_machine import Machine

SAY = {"words": "stop that now", "backchannel": "yeah", "open": "and", "statement": "i like it"}

EVENTS: dict[str, tuple[str | None, Any, bool]] = {
    "silence": (None, None, False),
    **{name: (words, None, False) for name, words in SAY.items()},
    "noise": ("", None, False),
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
}
RESTING = (TurnState.LISTENING, TurnState.MUTED)
MOST_STEPS = 80
"""8 s of silence: no timer of the settings explored is longer."""


def explore(settings: TurnSettings, *, words: bool, depth: int, most: int) -> int:
    """All machines that ``depth`` events lead to, breadth first, ``most`` of them at most; returns
    how many different ones were seen. Each is also left alone, and must come to rest."""
    first = Machine(settings, words=words)
    seen = {first.key()}
    restful: set[Any] = set()
    todo = deque([(first, ())])
    while todo:
        machine, path = todo.popleft()
        come_to_rest(machine, path, restful)
        if len(path) == depth:
            continue
        for name, event in EVENTS.items():
            after = machine.copy()
            trace = (*path, name)
            attempt(after, event, trace)
            key = after.key()
            if key not in seen and len(seen) < most:
                seen.add(key)
                todo.append((after, trace))
    return len(seen)


def attempt(machine: Machine, event: tuple[str | None, Any, bool], path: tuple[str, ...]) -> None:
    words, command, stuck = event
    try:
        machine.step(words, command, stuck=stuck)
    except Exception as error:
        error.add_note(f"after {', '.join(path)}")
        raise


def come_to_rest(machine: Machine, path: tuple[str, ...], restful: set[Any]) -> None:
    """Leave it alone: released, in silence, it must rest with nothing left over."""
    machine, passed = machine.copy(), []
    attempt(machine, EVENTS["release"], (*path, "rest"))
    for _ in range(MOST_STEPS):
        key = machine.key()
        if key in restful:
            break
        passed.append(key)
        if machine.state in RESTING and not machine.engine.busy:
            machine.check_rest()
            break
        attempt(machine, EVENTS["silence"], (*path, "rest"))
    else:
        pytest.fail(f"{machine.state} is a dead end after {', '.join(path)}")
    restful.update(passed)


@pytest.mark.parametrize("words", [True, False], ids=["with words", "by sound"])
@pytest.mark.parametrize("corner", CORNERS)
def test_every_order_of_events_ends_in_rest_with_every_turn_answered_once(corner, words):
    settings = TurnSettings(**{**USUAL, **CORNERS[corner]})
    assert explore(settings, words=words, depth=5, most=300) > 100
