"""Which slots a chunk has, and what may stand in each: the one definition for all who need it.

:func:`walk` goes through one chunk and asks for every place. Whoever answers decides what the walk
is: training writes a dialogue down (:mod:`model.duplex.protocol.sequence`), decoding reads one, and
the loop lets the network choose (:mod:`model.duplex.network.loop`).

The first text slot of a chunk tells the turn. While the assistant listens it is THINK, or SHIFT to
begin; while it speaks it is text, the text filler, or BREAK to stop. SHIFT's chunk already belongs
to the reply, BREAK's no more.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from enum import IntEnum
from itertools import chain

from model.covo.config.config import CovoConfig
from model.duplex.protocol.profile import DuplexProfile, ListeningSpeech, Slot
from model.errors import DialogueError


class Place(IntEnum):
    """What is asked for at one place of a chunk.

    USER is a feature of the user's audio. LISTEN: THINK or SHIFT. SPEAK: text, its filler or
    BREAK. TEXT: text or its filler. CODE: a speech code or its filler. At TEXT_FILLER and
    SPEECH_FILLER there is nothing to choose.
    """

    USER = 0
    LISTEN = 1
    SPEAK = 2
    TEXT = 3
    CODE = 4
    TEXT_FILLER = 5
    SPEECH_FILLER = 6


CHOSEN = (Place.LISTEN, Place.SPEAK, Place.TEXT, Place.CODE)
"""The places at which a network has something to choose."""


@dataclass(frozen=True, slots=True)
class Turn:
    """Whether the assistant speaks after a chunk, and in how many chunks it has, SHIFT's being
    the first. The start of a dialogue is ``Turn()``."""

    speaking: bool = False
    chunks: int = 0


@dataclass(frozen=True, slots=True)
class Vocabulary:
    """The ids that a place may hold: ``first`` up to, not including, ``past``, and ``extra``."""

    first: int
    past: int
    extra: tuple[int, ...]

    def __len__(self) -> int:
        return self.past - self.first + len(self.extra)

    def __iter__(self) -> Iterator[int]:
        return chain(range(self.first, self.past), self.extra)

    def index(self, token: int) -> int:
        """Where ``token`` is. Raises: DialogueError when it is not allowed here."""
        if self.first <= token < self.past:
            return token - self.first
        try:
            return self.past - self.first + self.extra.index(token)
        except ValueError:
            raise DialogueError(f"token {token} cannot stand in this slot") from None


class Grammar:
    """A profile on a network's vocabulary. Raises: NetworkConfigError when they do not fit."""

    def __init__(self, profile: DuplexProfile, config: CovoConfig) -> None:
        profile.check(config)
        self.profile = profile
        self.first_code = config.first_audio_token
        self.codebook = config.codebook
        tokens = profile.tokens
        text, codes = (0, profile.text_vocabulary), (self.first_code, config.backbone.vocabulary)
        silence = tokens.speech_filler.id
        outside = () if silence >= self.first_code else (silence,)
        self.vocabularies = {
            Place.LISTEN: Vocabulary(0, 0, (tokens.think.id, tokens.shift.id)),
            Place.SPEAK: Vocabulary(*text, (tokens.text_filler.id, tokens.stop.id)),
            Place.TEXT: Vocabulary(*text, (tokens.text_filler.id,)),
            Place.CODE: Vocabulary(*codes, outside),
        }

    def forced(self, place: Place) -> int | None:
        """The id at a place where there is nothing to choose; None where there is."""
        if place is Place.TEXT_FILLER:
            return self.profile.tokens.text_filler.id
        return self.profile.tokens.speech_filler.id if place is Place.SPEECH_FILLER else None


def walk(grammar: Grammar, turn: Turn, take: Callable[[Place], int]) -> Turn:
    """Go through one chunk after ``turn``; return the turn after it.

    ``take`` gives the id at each place (what it gives for USER does not matter), in order.
    """
    profile = grammar.profile
    tokens = profile.tokens
    told = False
    for slot in profile.layout:
        if slot is Slot.USER:
            take(Place.USER)
        elif slot is Slot.TEXT and not told:
            told = True
            if turn.speaking:
                stopped = take(Place.SPEAK) == tokens.stop.id
                turn = Turn() if stopped else Turn(True, turn.chunks + 1)
            elif take(Place.LISTEN) == tokens.shift.id:
                turn = Turn(True, 1)
        elif slot is Slot.TEXT:
            take(Place.TEXT if turn.speaking else Place.TEXT_FILLER)
        elif turn.speaking:
            take(Place.CODE if turn.chunks > profile.lead else Place.SPEECH_FILLER)
        elif profile.listening_speech is ListeningSpeech.FILL:
            take(Place.SPEECH_FILLER)
    return turn
