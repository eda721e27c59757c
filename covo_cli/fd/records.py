"""What the stages hand on to each other, as it lies on disk."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

RECIPE, PROFILE = "recipe.toml", "duplex.json"
PROMPTS, QUESTIONS, ANSWERS = "prompts", "questions", "answers"
DIALOGUES, ENCODER = "dialogues", "encoder"
"""Folders of the stages that make the student."""
CALIBRATION, COMPARISON = "calibration", "comparison"
"""Folders of the stages that judge it."""
CHAT, HELD_OUT = "chat", "held_out"
"""In the dialogues' folder: half-duplex samples, and dialogues by which the training is judged."""
START, TRAINED = "start", "trained"
"""The checkpoints before and after the training."""
CONVERSATIONS, REPLIES = "conversations.jsonl", "replies.jsonl"
SOUNDS, PHRASES = "sounds", "phrases"


class TurnKind(StrEnum):
    """What is special about a turn, or about what happens over its reply."""

    PLAIN = "plain"
    PAUSED = "paused"
    BACKCHANNELLED = "backchannelled"
    NEW_QUESTION = "new_question"
    CORRECTED = "corrected"
    STOPPED = "stopped"
    FALSE_START = "false_start"
    NOISE_OVER = "noise_over"
    NOISE_BEFORE = "noise_before"
    LONG_SILENCE = "long_silence"


NEEDS_NEXT = (TurnKind.NEW_QUESTION, TurnKind.CORRECTED)
"""The next turn interrupts the reply."""

INTERRUPTED = (*NEEDS_NEXT, TurnKind.STOPPED)


class PhraseKind(StrEnum):
    """Lists of short phrases in the files of texts."""

    BACKCHANNELS = "backchannels"
    STOPS = "stops"
    CORRECTIONS = "corrections"
    FILLERS = "fillers"
    SIDE_TALK = "side_talk"


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
    ids with their natural log-probabilities. ``tokens``: text and codes in the order in which they
    came, as ids of its vocabulary."""

    text: tuple[int, ...]
    codes: tuple[int, ...]
    likely: tuple[tuple[tuple[int, float], ...], ...] = ()
    tokens: tuple[int, ...] = ()


@dataclass(frozen=True, slots=True)
class AnsweredConversation:
    """The replies to a conversation's first turns. ``dropped``: why there are no more."""

    replies: tuple[SaidReply, ...]
    dropped: str = ""
