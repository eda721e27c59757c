"""What the network is trained on: tokens in a row, with the kind and weight of each.

A sample is a dialogue in chunks behind the profile's prompt, or a piece of half-duplex chat
(:mod:`model.duplex.training.chat`).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from enum import IntEnum

import numpy as np
from numpy.typing import NDArray

from model.duplex.protocol.grammar import Grammar, Place
from model.duplex.protocol.profile import Slot, TextTiming
from model.duplex.protocol.sequence import ChunkedDialogue, TimedDialogue, TimedToken

NO_PLACE = -1
"""Marks prompts and padding: nothing is learnt there."""


ANY_TOKEN = 7
"""The place of a half-duplex reply's token, which may hold any token of the vocabulary."""


class TokenKind(IntEnum):
    """What a token is to the loss. The names are those of
    :class:`~model.duplex.training.loss.LossWeights`.

    HARD_THINK: THINK where the network is likely to begin too early. TEXT_END: the first text
    filler after a reply's text.
    """

    NONE = -1
    THINK = 0
    HARD_THINK = 1
    SHIFT = 2
    STOP = 3
    TEXT = 4
    TEXT_END = 5
    TEXT_FILLER = 6
    SPEECH = 7
    SPEECH_FILLER = 8


@dataclass(frozen=True, slots=True)
class Teaching:
    """A teacher's most likely tokens: at the places ``at`` (k,) the ``ids`` (k, m) with the
    ``probabilities`` (k, m), which sum to 1 in each row."""

    at: NDArray[np.int64] = field(repr=False)
    ids: NDArray[np.int64] = field(repr=False)
    probabilities: NDArray[np.float32] = field(repr=False)


@dataclass(frozen=True, slots=True)
class Sample:
    """Tokens to train on.

    ``audio`` (chunks, chunk_samples) is the user's; its features stand where ``places`` (n,) says
    USER. ``ids`` (n,): the tokens; ``kinds`` (n,): their :class:`TokenKind`; ``weights`` (n,): a
    factor of each one's loss.
    """

    audio: NDArray[np.float32] = field(repr=False)
    ids: NDArray[np.int64] = field(repr=False)
    places: NDArray[np.int8] = field(repr=False)
    kinds: NDArray[np.int8] = field(repr=False)
    weights: NDArray[np.float32] = field(repr=False)
    teaching: Teaching | None = field(default=None, repr=False)


def dialogue_sample(
    dialogue: ChunkedDialogue,
    grammar: Grammar,
    weights: NDArray[np.float32] | None = None,
    hard: NDArray[np.bool_] | None = None,
    teaching: Teaching | None = None,
) -> Sample:
    """Return ``dialogue`` behind the prompt.

    ``weights`` (n,) and ``hard`` (n,), where THINK is hard, are of the dialogue's tokens, and so
    are the places of ``teaching``.
    """
    prompt, count = np.array(grammar.profile.prompt, np.int64), len(dialogue.ids)
    kinds = _kinds(dialogue, grammar)
    if hard is not None:
        kinds[hard & (kinds == TokenKind.THINK)] = TokenKind.HARD_THINK
    if weights is None:
        weights = np.ones(count, np.float32)
    if teaching is not None:
        teaching = Teaching(teaching.at + len(prompt), teaching.ids, teaching.probabilities)
    nothing = np.full(len(prompt), NO_PLACE, np.int8)
    return Sample(
        audio=dialogue.audio,
        ids=np.concatenate((prompt, dialogue.ids)),
        places=np.concatenate((nothing, dialogue.places)),
        kinds=np.concatenate((nothing, kinds)),
        weights=np.concatenate((np.ones(len(prompt), np.float32), weights)),
        teaching=teaching,
    )


def chunk_starts(places: NDArray[np.int8], grammar: Grammar) -> NDArray[np.intp]:
    """Return where each chunk begins among ``places`` (n,)."""
    # A chunk has one such place, and always the same slots before it.
    decisions = np.isin(places, (Place.LISTEN, Place.SPEAK)).nonzero()[0]
    return decisions - grammar.profile.layout.index(Slot.TEXT)


def section(sample: Sample, grammar: Grammar, first: int, longest: int | None) -> Sample:
    """Return a dialogue from chunk ``first`` on, behind the prompt, in ``longest`` tokens at most
    and in whole chunks, one at least."""
    prompt = len(grammar.profile.prompt)
    if not first and (longest is None or len(sample.ids) <= longest):
        return sample
    edges = np.append(chunk_starts(sample.places, grammar), len(sample.ids))
    begin, last = int(edges[first]), len(edges) - 1
    if longest is not None:
        fits = int(np.searchsorted(edges, begin + longest - prompt, side="right")) - 1
        last = min(last, max(first + 1, fits))
    end = int(edges[last])
    kept = np.r_[:prompt, begin:end]
    teaching = sample.teaching
    if teaching is not None:
        inside = (teaching.at >= begin) & (teaching.at < end)
        at = teaching.at[inside] - begin + prompt
        teaching = Teaching(at, teaching.ids[inside], teaching.probabilities[inside])
    return Sample(
        audio=sample.audio[first:last],
        ids=sample.ids[kept],
        places=sample.places[kept],
        kinds=sample.kinds[kept],
        weights=sample.weights[kept],
        teaching=teaching,
    )


def beginning(sample: Sample, grammar: Grammar, longest: int) -> Sample:
    """Return the first ``longest`` tokens of a half-duplex sample, or a few less: the user's audio
    ends with a whole chunk."""
    if len(sample.ids) <= longest:
        return sample
    features = grammar.profile.features_per_chunk
    heard = (sample.places == Place.USER).nonzero()[0]
    chunks = int(np.searchsorted(heard, longest)) // features
    end = min([longest, *heard[chunks * features :][:1].tolist()])
    return Sample(
        audio=sample.audio[:chunks],
        ids=sample.ids[:end],
        places=sample.places[:end],
        kinds=sample.kinds[:end],
        weights=sample.weights[:end],
    )


def teaching_of(
    chunked: ChunkedDialogue, dialogue: TimedDialogue, grammar: Grammar
) -> Teaching | None:
    """Return what the teacher of ``dialogue`` found likely, at the places of ``chunked``; None if
    it tells nothing. Tokens that are no text are left out."""
    text = grammar.profile.text_vocabulary
    written = np.isin(chunked.places, (Place.SPEAK, Place.TEXT)) & (chunked.ids < text)
    tokens = [token for reply in dialogue.replies for token in reply.text]
    pairs = zip(written.nonzero()[0].tolist(), tokens, strict=True)
    taught = [(place, likely) for place, token in pairs if (likely := _text_only(token, text))]
    if not taught:
        return None
    ids = np.zeros((len(taught), max(len(likely) for _, likely in taught)), np.int64)
    logs = np.full(ids.shape, -np.inf, np.float32)
    for row, (_, likely) in enumerate(taught):
        ids[row, : len(likely)], logs[row, : len(likely)] = zip(*likely, strict=True)
    shares = np.exp(logs - logs.max(axis=1, keepdims=True))
    at = np.array([place for place, _ in taught], np.int64)
    return Teaching(at, ids, shares / shares.sum(axis=1, keepdims=True))


def _text_only(token: TimedToken, vocabulary: int) -> Sequence[tuple[int, float]]:
    return [(id, log) for id, log in token.likely if 0 <= id < vocabulary]


def _kinds(dialogue: ChunkedDialogue, grammar: Grammar) -> NDArray[np.int8]:
    """Return the kind (n,) of each token of ``dialogue``."""
    tokens, ids, places = grammar.profile.tokens, dialogue.ids, dialogue.places
    kinds = np.full(len(ids), TokenKind.NONE, np.int8)
    listen, code = places == Place.LISTEN, places == Place.CODE
    text = np.isin(places, (Place.SPEAK, Place.TEXT))
    filled = text & (ids == tokens.text_filler.id)
    kinds[listen] = np.where(ids[listen] == tokens.shift.id, TokenKind.SHIFT, TokenKind.THINK)
    kinds[code] = np.where(
        ids[code] == tokens.speech_filler.id, TokenKind.SPEECH_FILLER, TokenKind.SPEECH
    )
    kinds[text] = TokenKind.TEXT
    kinds[text & (ids == tokens.stop.id)] = TokenKind.STOP
    kinds[filled] = TokenKind.TEXT_FILLER
    if grammar.profile.text_timing is TextTiming.AHEAD:  # its text is in one piece
        slots = np.isin(places, (Place.LISTEN, Place.SPEAK, Place.TEXT)).nonzero()[0]
        ends = filled[slots[1:]] & ~filled[slots[:-1]]
        kinds[slots[1:][ends]] = TokenKind.TEXT_END
    return kinds
