"""The states of turn taking. Each holds what there is in it, and nothing else."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from model.events import TurnState
from model.hearing.open_turn import OpenTurn
from model.turns.answer import TurnAnswer
from model.turns.overlap import Overlap


@dataclass(slots=True)
class Listening:
    """Nobody speaks. Shown as MUTED while the microphone is muted."""

    kind: ClassVar = TurnState.LISTENING


@dataclass(slots=True)
class UserSpeaking:
    """The user speaks, or pauses.

    ``answer``: begun in the pause, thrown away if the user goes on. ``judged``: the last judgement
    of the pause that was told, and the end of the speech before it.
    """

    kind: ClassVar = TurnState.USER_SPEAKING
    turn: OpenTurn
    answer: TurnAnswer | None = None
    judged: tuple[int, str] = (0, "")


@dataclass(slots=True)
class Thinking:
    """The turn was over at ``committed_at`` (user samples), and nothing of the answer is ready.

    ``overlap``: speech after a turn that cannot go on.
    """

    kind: ClassVar = TurnState.THINKING
    turn: OpenTurn
    answer: TurnAnswer
    committed_at: int
    overlap: Overlap | None = None


@dataclass(slots=True)
class ReplySpeaking:
    """The answer is being heard.

    ``overlap``: speech over it. ``unfinished``: the turn that it answers, as long as the user may
    just have paused in it; None once there was an overlap.
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
    """Return the turn that takes in the user's audio."""
    match state:
        case Thinking(overlap=Overlap() as overlap) | ReplySpeaking(overlap=Overlap() as overlap):
            return overlap.turn
        case UserSpeaking(turn=turn) | Thinking(turn=turn):
            return turn
        case ReplySpeaking(unfinished=turn) | ReplyStopping(next_turn=turn):
            return turn
    return None
