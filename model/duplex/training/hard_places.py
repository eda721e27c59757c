"""Find the places of a dialogue that matter more, or not at all, from what happens in it.

Most of a dialogue is easy. What a network has to be taught is to keep still in a pause, to go on
through a hum, and to stop for an interruption; and where either of two tokens is right, nothing.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from enum import StrEnum

import numpy as np
from numpy.typing import NDArray

from model.duplex.protocol.grammar import Grammar, Place
from model.duplex.protocol.sequence import ChunkedDialogue
from model.duplex.training.sample import chunk_starts

REACTION_CHUNKS = 3
"""After something that looks like the end of a turn, or like an interruption, as many chunks are
hard; an answer that comes within them is a quick one."""


class EventKind(StrEnum):
    """What happens on the user's channel.

    TURN: a turn that is answered, with its inner pauses. PAUSE: silence in a turn. INTERRUPTION:
    speech over a reply, for which the reply stops. The others are neither answered nor stopped for:
    BACKCHANNEL, NOISE (coughs and laughs included), SIDE_TALK, and FALSE_START, an interruption
    that is given up at once.
    """

    TURN = "turn"
    PAUSE = "pause"
    INTERRUPTION = "interruption"
    BACKCHANNEL = "backchannel"
    NOISE = "noise"
    SIDE_TALK = "side_talk"
    FALSE_START = "false_start"


_HARMLESS = (
    EventKind.BACKCHANNEL,
    EventKind.NOISE,
    EventKind.SIDE_TALK,
    EventKind.FALSE_START,
)


@dataclass(frozen=True, slots=True)
class UserEvent:
    """Something the user does from ``start`` to ``end``, in seconds since the dialogue began."""

    kind: EventKind
    start: float
    end: float


@dataclass(frozen=True, slots=True)
class PlaceWeights:
    """For each token of a dialogue: the factor of its loss, and whether its THINK is ``hard``."""

    weights: NDArray[np.float32]
    hard: NDArray[np.bool_]


def weigh_places(
    dialogue: ChunkedDialogue, events: Iterable[UserEvent], grammar: Grammar, overlap: float
) -> PlaceWeights:
    """Weigh the tokens (n,) of ``dialogue`` by its ``events``.

    THINK is hard in a pause, under what is harmless, and shortly after what looks like an end.
    Text and codes of a reply count ``overlap`` times under what is harmless. Either token is right,
    and the weight 0, between the chunk in which a turn ends and SHIFT, if that follows shortly, and
    between the chunk in which an interruption begins and BREAK. Not in these two: half a chunk of
    speech tells little, and an answer would begin where no dialogue has one.
    """
    profile, places, ids = grammar.profile, dialogue.places, dialogue.ids
    decisions = np.isin(places, (Place.LISTEN, Place.SPEAK)).nonzero()[0]
    starts = chunk_starts(places, grammar)
    chunks = np.searchsorted(starts, np.arange(len(ids)), side="right") - 1
    shifts = (ids[decisions] == profile.tokens.shift.id).nonzero()[0]
    stops = (ids[decisions] == profile.tokens.stop.id).nonzero()[0]
    hard, over, begins, goes_on = (np.zeros(len(starts), bool) for _ in range(4))
    for event in events:
        first = max(0, int(event.start * 1000 // profile.chunk_ms))
        last = max(first, int(event.end * 1000 // profile.chunk_ms))
        later = last + REACTION_CHUNKS + 1
        if event.kind is EventKind.PAUSE:
            hard[first : max(last, first + REACTION_CHUNKS) + 1] = True
        elif event.kind in _HARMLESS:
            hard[first:later] = True
            over[first:later] = True
        elif event.kind is EventKind.INTERRUPTION:
            hard[last:later] = True  # after "stop" there is no answer
            if first < len(starts) and places[decisions[first]] == Place.SPEAK:
                goes_on[first + 1 : _next(stops, first, len(starts))] = True
        elif (shift := _next(shifts, last, len(starts))) <= last + REACTION_CHUNKS:
            begins[last + 1 : shift] = True
    weights = np.ones(len(ids), np.float32)
    weights[over[chunks] & np.isin(places, (Place.SPEAK, Place.TEXT, Place.CODE))] = overlap
    weights[begins[chunks] & (places == Place.LISTEN)] = 0.0
    weights[goes_on[chunks] & (places == Place.SPEAK)] = 0.0
    weights[np.isin(ids, (profile.tokens.shift.id, profile.tokens.stop.id))] = 1.0
    return PlaceWeights(weights, hard[chunks])


def _next(chunks: NDArray[np.intp], first: int, otherwise: int) -> int:
    """Return the first of ``chunks`` from ``first`` on."""
    later = chunks[chunks >= first]
    return int(later[0]) if len(later) else otherwise
