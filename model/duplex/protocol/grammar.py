"""Define which slots a chunk has and which tokens each may hold.

:func:`walk` visits the places of one chunk in order and asks its callback for each token. Training
answers from a dialogue (:mod:`model.duplex.protocol.sequence`), the loop from the network
(:mod:`model.duplex.network.loop`).

The first text slot of a chunk decides whether the assistant speaks. While it listens, the slot
holds THINK, or SHIFT to begin. While it speaks, the slot holds text, the text filler, or BREAK to
stop. SHIFT's chunk belongs to the reply; BREAK's does not.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from enum import IntEnum

from model.covo.config.network_config import CovoConfig
from model.duplex.protocol.profile import DuplexProfile, ListeningSpeech, Slot


class Place(IntEnum):
    """The kind of one place in a chunk, which says what it may hold.

    USER: a feature of the user's audio. LISTEN: THINK or SHIFT. SPEAK: text, its filler or BREAK.
    TEXT: text or its filler. CODE: a speech code or its filler. TEXT_FILLER, SPEECH_FILLER: that
    filler only.
    """

    USER = 0
    LISTEN = 1
    SPEAK = 2
    TEXT = 3
    CODE = 4
    TEXT_FILLER = 5
    SPEECH_FILLER = 6


CHOSEN = (Place.LISTEN, Place.SPEAK, Place.TEXT, Place.CODE)
"""The places where the network has a choice."""


@dataclass(frozen=True, slots=True)
class AssistantState:
    """Whether the assistant is speaking after a chunk, and for how many chunks it has been.

    SHIFT's chunk counts as the first. A dialogue starts with ``AssistantState()``.
    """

    speaking: bool = False
    chunks: int = 0


class Grammar:
    """A profile applied to a network's vocabulary. Raises: NetworkConfigError on a mismatch."""

    def __init__(self, profile: DuplexProfile, config: CovoConfig) -> None:
        profile.check(config)
        self.profile = profile
        self.first_code = config.first_audio_token
        self.codebook = config.codebook
        tokens = profile.tokens
        text = range(profile.text_vocabulary)
        codes = range(self.first_code, config.backbone.vocabulary)
        silence = tokens.speech_filler.id
        self.spans = {
            Place.LISTEN: range(0),
            Place.SPEAK: text,
            Place.TEXT: text,
            Place.CODE: codes,
        }
        """The text or codes that each place with a choice may hold."""
        self.marks = {
            Place.LISTEN: (tokens.think.id, tokens.shift.id),
            Place.SPEAK: (tokens.text_filler.id, tokens.stop.id),
            Place.TEXT: (tokens.text_filler.id,),
            Place.CODE: () if silence in codes else (silence,),
        }
        """The profile's own tokens that each may hold besides; SHIFT and BREAK are the last."""
        self.vocabularies = {place: (*self.spans[place], *self.marks[place]) for place in CHOSEN}
        """The ids that each place with a choice may hold: its span, then its marks."""

    def forced(self, place: Place) -> int | None:
        """Return the only id ``place`` may hold, or None where there is a choice."""
        if place is Place.TEXT_FILLER:
            return self.profile.tokens.text_filler.id
        return self.profile.tokens.speech_filler.id if place is Place.SPEECH_FILLER else None


def walk(grammar: Grammar, state: AssistantState, take: Callable[[Place], int]) -> AssistantState:
    """Visit the places of one chunk in order; return the assistant's state after it.

    ``state`` is the state before the chunk. ``take`` returns the id at each place; its result for
    USER is ignored.
    """
    profile = grammar.profile
    tokens = profile.tokens
    decided = False
    for slot in profile.layout:
        if slot is Slot.USER:
            take(Place.USER)
        elif slot is Slot.TEXT and not decided:
            decided = True
            if state.speaking:
                stopped = take(Place.SPEAK) == tokens.stop.id
                state = AssistantState() if stopped else AssistantState(True, state.chunks + 1)
            elif take(Place.LISTEN) == tokens.shift.id:
                state = AssistantState(True, 1)
        elif slot is Slot.TEXT:
            take(Place.TEXT if state.speaking else Place.TEXT_FILLER)
        elif state.speaking:
            take(Place.CODE if state.chunks > profile.lead else Place.SPEECH_FILLER)
        elif profile.listening_speech is ListeningSpeech.FILL:
            take(Place.SPEECH_FILLER)
    return state
