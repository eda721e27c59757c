"""What the stages hand on to each other, as it lies on disk."""

from __future__ import annotations

from dataclasses import dataclass

from covo_cli.fd.plan import TurnKind

RECIPE, PROFILE = "recipe.toml", "duplex.json"
QUESTIONS, ANSWERS, DIALOGUES = "questions", "answers", "dialogues"
"""Folders of the stages."""
CONVERSATIONS, REPLIES = "conversations.jsonl", "replies.jsonl"
SOUNDS, PHRASES = "sounds", "phrases"


@dataclass(frozen=True, slots=True)
class SpokenTurn:
    """A turn that was said: ``sound`` is a file in ``questions/sounds``, clean and without silence
    around it. The rest is as planned; ``cue`` is the name of a file in ``questions/phrases``, and
    ``cue_s`` its length at the speaker's speed."""

    text: str
    sound: str
    seconds: float
    kind: TurnKind
    onset: float
    early: bool
    cue: str
    cue_s: float


@dataclass(frozen=True, slots=True)
class SpokenConversation:
    """Turns of one speaker. The phrases are there in ``voice``, at normal speed."""

    voice: str
    language: str
    speed: float
    held_out: bool
    turns: tuple[SpokenTurn, ...]


@dataclass(frozen=True, slots=True)
class SaidReply:
    """What the teacher answered: ``text`` ids, ``codes`` and, for each text token, the ``likely``
    ids with their natural log-probabilities."""

    text: tuple[int, ...]
    codes: tuple[int, ...]
    likely: tuple[tuple[tuple[int, float], ...], ...] = ()


@dataclass(frozen=True, slots=True)
class AnsweredConversation:
    """The replies to a conversation's first turns. ``dropped``: why there are no more."""

    replies: tuple[SaidReply, ...]
    dropped: str = ""
