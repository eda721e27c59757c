"""Conversations made by hand, for the tests of judging and reporting: who was heard when."""

from __future__ import annotations

from collections.abc import Sequence

from audio_io.clock import samples
from covo_cli.evaluation import Kind
from covo_cli.evaluation.judging.evidence import Evidence, HeardReply
from covo_cli.evaluation.running.conversation import Annotation, Said
from covo_cli.evaluation.scenarios.scenario import RIGHT, Noise, Role, Scenario
from model.events import (
    Event,
    Interrupted,
    PlaybackAction,
    PlaybackControl,
    StateChanged,
    TurnState,
    UserTranscript,
)


def said(role: Role, start: float, end: float, text: str = "words", recorded: bool = False) -> Said:
    """A line that was said from ``start`` to ``end`` seconds."""
    return Said(role, text, samples(start), samples(end), RIGHT[role], recorded)


def reply(
    number: int,
    first: float,
    last: float,
    *,
    words: int | None = None,
    committed: float | None = None,
    interrupted: float | None = None,
    finished: float | None = None,
) -> HeardReply:
    """A reply that was heard from ``first`` to ``last`` seconds."""

    def at(time: float | None) -> int | None:
        return None if time is None else samples(time)

    return HeardReply(
        number,
        number,
        samples(first),
        samples(first),
        samples(last),
        at(committed),
        at(interrupted),
        at(finished),
        words,
    )


def conversation(
    kind: Kind,
    lines: Sequence[Said],
    replies: Sequence[HeardReply] = (),
    events: Sequence[Event] = (),
    length: float = 20.0,
    noise: Noise | None = None,
) -> Evidence:
    """What is left of a conversation of ``length`` seconds."""
    blocks = [False] * round(length * 100)
    for heard in replies:
        if heard.first is not None and heard.last is not None:
            for n in range(heard.first // 160, min(heard.last // 160, len(blocks))):
                blocks[n] = True
    scenario = Scenario("case-00", kind, duration=length, noise=noise)
    annotation = Annotation(scenario, tuple(lines), samples(length))
    return Evidence(annotation, tuple(events), tuple(replies), blocks)


def control(at: float, action: PlaybackAction, number: int = 1) -> PlaybackControl:
    """What the speaker was asked to do at ``at`` seconds."""
    return PlaybackControl(samples(at), number, action, "a test")


def cut(at: float, number: int = 1) -> Interrupted:
    """Reply ``number`` cut off at ``at`` seconds."""
    return Interrupted(samples(at), number, 0, "", "", "a test")


def transcript(turn: int, start: float, end: float, text: str) -> UserTranscript:
    """What was understood of what was said from ``start`` to ``end`` seconds."""
    return UserTranscript(samples(end), turn, text, True, samples(start), samples(end))


def thinking(at: float) -> StateChanged:
    """A turn taken to be over at ``at`` seconds."""
    return StateChanged(samples(at), TurnState.THINKING, "a test")
