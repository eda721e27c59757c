"""The states of turn taking, each with only its own data."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from model.events import TurnState
from model.hearing.open_turn import OpenTurn
from model.turns.answer import TurnAnswer
from model.turns.overlap import Overlap


@dataclass(slots=True)
class Listening:
    """No one speaks. Shown as MUTED while the microphone is muted."""

    kind: ClassVar = TurnState.LISTENING


@dataclass(slots=True)
class UserSpeaking:
    """The user speaks, or pauses.

    ``answer``: begun in the pause, discarded if the user goes on. ``judged``: the last judgement of
    the pause that was emitted, and the end of the speech before it.
    """

    kind: ClassVar = TurnState.USER_SPEAKING
    turn: OpenTurn
    answer: TurnAnswer | None = None
    judged: tuple[int, str] = (0, "")


@dataclass(slots=True)
class Thinking:
    """The turn ended at ``committed_at`` (user samples); no part of the answer was let through.

    ``overlap``: speech after a turn that cannot go on. ``ready_at`` (user samples): when an answer
    was ready that waits because the user may just be going on.
    """

    kind: ClassVar = TurnState.THINKING
    turn: OpenTurn
    answer: TurnAnswer
    committed_at: int
    overlap: Overlap | None = None
    ready_at: int | None = None


@dataclass(slots=True)
class ReplySpeaking:
    """The answer is being played.

    ``overlap``: speech over it. ``unfinished``: the answered turn while the user may only have
    paused in it; None after the first overlap.
    """

    kind: ClassVar = TurnState.SPEAKING
    answer: TurnAnswer
    committed_at: int
    unfinished: OpenTurn | None
    overlap: Overlap | None = None


@dataclass(slots=True)
class ReplyStopping:
    """The speaker was told to stop, for ``reason``, and is not silent yet.

    ``next_turn``: what the user says meanwhile, if that is the reason.
    """

    kind: ClassVar = TurnState.INTERRUPTED
    answer: TurnAnswer
    committed_at: int
    next_turn: OpenTurn | None
    reason: str


ConversationState = Listening | UserSpeaking | Thinking | ReplySpeaking | ReplyStopping


def open_turn_of(state: ConversationState) -> OpenTurn | None:
    """Return the turn that collects the user's audio."""
    match state:
        case Thinking(overlap=Overlap() as overlap) | ReplySpeaking(overlap=Overlap() as overlap):
            return overlap.turn
        case UserSpeaking(turn=turn) | Thinking(turn=turn):
            return turn
        case ReplySpeaking(unfinished=turn) | ReplyStopping(next_turn=turn):
            return turn
    return None
