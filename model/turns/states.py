"""The states of turn taking. Each holds what there is in it, and nothing else."""

from __future__ import annotations

from dataclasses import dataclass

from model.hearing.open_turn import OpenTurn
from model.turns.answer import Answer
from model.turns.overlap import Overlap


@dataclass(slots=True)
class Listening:
    """Nobody speaks. Also while the microphone is muted."""

    @property
    def hearing_turn(self) -> None:
        """No turn takes in the user's audio."""


@dataclass(slots=True)
class UserSpeaking:
    """The user speaks, or pauses. ``answer``: begun in the pause, thrown away if the user goes on.

    ``judged``: the last judgement told of the pause, and the end of the speech before it.
    """

    turn: OpenTurn
    answer: Answer | None = None
    judged: tuple[int, str] = (0, "")

    @property
    def hearing_turn(self) -> OpenTurn:
        """The turn that takes in the user's audio."""
        return self.turn


@dataclass(slots=True)
class Thinking:
    """The turn was over at ``committed_at`` (user samples), and nothing of the answer is ready.

    ``overlap``: speech after a turn that cannot go on.
    """

    turn: OpenTurn
    answer: Answer
    committed_at: int
    overlap: Overlap | None = None

    @property
    def hearing_turn(self) -> OpenTurn:
        """The turn that takes in the user's audio."""
        return self.turn if self.overlap is None else self.overlap.turn


@dataclass(slots=True)
class ReplySpeaking:
    """The answer is being heard.

    ``overlap``: speech over it. ``unfinished``: the turn that it answers, as long as the user may
    just have paused in it; None once there was an overlap.
    """

    answer: Answer
    committed_at: int
    unfinished: OpenTurn | None
    overlap: Overlap | None = None

    @property
    def hearing_turn(self) -> OpenTurn | None:
        """The turn that takes in the user's audio."""
        return self.unfinished if self.overlap is None else self.overlap.turn


@dataclass(slots=True)
class ReplyStopping:
    """The speaker was told to stop, for ``reason``, and is not silent yet.

    ``next_turn``: what the user says meanwhile, if that is the reason.
    """

    answer: Answer
    committed_at: int
    next_turn: OpenTurn | None
    reason: str

    @property
    def hearing_turn(self) -> OpenTurn | None:
        """The turn that takes in the user's audio."""
        return self.next_turn


ConversationState = Listening | UserSpeaking | Thinking | ReplySpeaking | ReplyStopping
