"""What a conversation is made of: turns, replies in the making, and exchanges that happened."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from model.covo.conversation.answer import Answer
from model.covo.conversation.context import Segment


class Turn:
    """What the user said: ``audio`` (samples,) float32 mono 16 kHz, ``text``, or both (a question
    about the audio)."""

    def __init__(self, audio: NDArray[np.float32] | None = None, text: str = "") -> None:
        self.audio = audio
        self.text = text
        self.segment: Segment | None = None
        """The turn as the network takes it; there once it was heard."""


class Reply:
    """A reply that was begun: its ``turn``, its ``answer`` as far as there is one, and the seed of
    its random numbers."""

    def __init__(self, turn: Turn, answer: Answer, seed: int) -> None:
        self.turn = turn
        self.answer = answer
        self.seed = seed
        self.dropped = 0
        """Turns that it says were dropped."""


@dataclass(frozen=True, slots=True)
class Exchange:
    """A turn and what was heard of its reply: part of the conversation."""

    turn: Segment
    reply: tuple[int, ...]

    @property
    def length(self) -> int:
        """Its tokens."""
        return len(self.turn.ids) + len(self.reply)
