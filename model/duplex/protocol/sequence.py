"""Encode a dialogue as chunks.

Both channels share one clock. The user's audio is cut into chunks; each of the assistant's speech
codes goes into the chunk during which it sounds. A reply lasts from SHIFT's chunk to the last with
its speech or text; BREAK's chunk follows and keeps replies apart. :func:`join_close` joins replies
that are closer.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from itertools import groupby

import numpy as np
from numpy.typing import NDArray

from audio_io.signal import Audio
from model.duplex.protocol.grammar import AssistantState, Grammar, Place, walk
from model.duplex.protocol.profile import TextTiming
from model.errors import DialogueError

SILENCE = -1
"""In a reply's codes: a pause one code long."""

USER_FEATURE = -1
"""In the ids of chunks: the place of a feature of the user's audio."""


@dataclass(frozen=True, slots=True)
class TimedToken:
    """A text token and the time at which it is said, in speech codes since the dialogue began.

    ``likely``: what a teacher would have written in its place, ids with natural log-probabilities.
    """

    id: int
    at: int
    likely: tuple[tuple[int, float], ...] = field(default=(), repr=False)


@dataclass(frozen=True, slots=True)
class TimedReply:
    """One reply of the assistant.

    ``codes`` are codebook indices, with SILENCE only between them; they sound from code ``start``
    of the dialogue on.
    """

    start: int
    codes: tuple[int, ...]
    text: tuple[TimedToken, ...] = ()

    @property
    def end(self) -> int:
        """The position just after the last code."""
        return self.start + len(self.codes)


@dataclass(frozen=True, slots=True)
class TimedDialogue:
    """Two channels: ``user``, float32 mono at 16 kHz, and the assistant's ``replies`` in order."""

    user: Audio = field(repr=False)
    replies: tuple[TimedReply, ...] = ()


@dataclass(frozen=True, slots=True)
class ChunkedDialogue:
    """A dialogue in chunks.

    ``audio`` (chunks, chunk_samples) is the user's. ``ids`` (n,) are the tokens of all chunks in
    order, ``places`` (n,) their kinds (:class:`~model.duplex.protocol.grammar.Place`).
    """

    audio: NDArray[np.float32] = field(repr=False)
    ids: NDArray[np.int64] = field(repr=False)
    places: NDArray[np.int8] = field(repr=False)


def encode(dialogue: TimedDialogue, grammar: Grammar) -> ChunkedDialogue:
    """Encode ``dialogue`` as chunks, padding the user's last chunk with silence.

    Raises: DialogueError if a reply has no speech, has codes or text outside the vocabulary, starts
    too early for its SHIFT, or follows another too closely.
    """
    profile = grammar.profile
    spoken = [_Spoken(reply, grammar) for reply in dialogue.replies]
    free = 0
    for one in spoken:
        if one.shift < free:
            raise DialogueError(
                f"the reply at {one.reply.start / profile.code_rate:.2f} s begins too early: its "
                f"SHIFT falls in chunk {one.shift}, but the first free chunk is {free}"
            )
        free = one.stop + 1
    count = max(-(-len(dialogue.user) // profile.chunk_samples), free)
    audio = np.zeros((count, profile.chunk_samples), np.float32)
    audio.reshape(-1)[: len(dialogue.user)] = dialogue.user
    waiting = deque(spoken)
    state = AssistantState()
    ids: list[int] = []
    places: list[int] = []
    for chunk in range(count):
        writer = _ChunkWriter(grammar, chunk, waiting[0] if waiting else None)
        state = walk(grammar, state, writer)
        ids += writer.ids
        places += writer.places
        if waiting and waiting[0].stop == chunk:
            waiting.popleft()
    return ChunkedDialogue(audio, np.array(ids, np.int64), np.array(places, np.int8))


def join_close(replies: Iterable[TimedReply], grammar: Grammar) -> tuple[TimedReply, ...]:
    """Join, with silence, the ``replies`` that are too close for a BREAK between them.

    Raises: DialogueError if a reply begins before the previous one has ended.
    """
    joined: list[TimedReply] = []
    for reply in replies:
        if joined and reply.start < joined[-1].end:
            rate = grammar.profile.code_rate
            raise DialogueError(
                f"the reply at {reply.start / rate:.2f} s begins before the one at "
                f"{joined[-1].start / rate:.2f} s has ended: sort the replies and let none overlap"
            )
        if joined and _Spoken(reply, grammar).shift <= _Spoken(joined[-1], grammar).stop:
            before = joined.pop()
            pause = (SILENCE,) * (reply.start - before.end)
            text = (*before.text, *reply.text)
            joined.append(TimedReply(before.start, (*before.codes, *pause, *reply.codes), text))
        else:
            joined.append(reply)
    return tuple(joined)


def cut_in_slots(reply: TimedReply, stop: int, grammar: Grammar) -> TimedReply:
    """Return ``reply`` as it stands when BREAK comes in chunk ``stop``: the text and the codes that
    had slots before it, heard or not.

    To cut the text to what was heard would leave fillers in mid-sentence before the user has even
    begun. Raises: DialogueError if no code is left.
    """
    laid, per_chunk = _Spoken(reply, grammar), grammar.profile.codes_per_chunk
    if stop >= laid.stop:
        return reply
    texts = sum(len(tokens) for chunk, tokens in laid.text.items() if chunk < stop) - 1  # SHIFT
    codes = list(reply.codes[: max(0, stop * per_chunk - reply.start)])
    while codes and codes[-1] == SILENCE:
        codes.pop()
    if not codes:
        raise DialogueError(
            f"the reply at {reply.start / grammar.profile.code_rate:.2f} s is cut in chunk {stop}, "
            "before its first speech code; leave it out"
        )
    return TimedReply(reply.start, tuple(codes), reply.text[:texts])


class _Spoken:
    """A reply laid out on chunks, SHIFT in ``shift`` and BREAK in ``stop``; ``text`` by chunk."""

    def __init__(self, reply: TimedReply, grammar: Grammar) -> None:
        profile = grammar.profile
        per_chunk = profile.codes_per_chunk
        if not reply.codes or SILENCE in (reply.codes[0], reply.codes[-1]):
            raise DialogueError(
                f"the reply at code {reply.start} must begin and end with a speech code"
            )
        low, high = min(reply.codes), max(reply.codes)
        if low < SILENCE or high >= grammar.codebook:
            raise DialogueError(
                f"a reply has codes {low} to {high}; the codebook ends at {grammar.codebook - 1}"
            )
        self.reply = reply
        self.shift = reply.start // per_chunk - profile.lead
        self.text = self._schedule(grammar)
        self.stop = 1 + max((reply.end - 1) // per_chunk, *self.text)

    def _schedule(self, grammar: Grammar) -> Mapping[int, tuple[int, ...]]:
        """Return the text tokens by chunk. SHIFT takes its chunk's first text slot."""
        profile = grammar.profile
        aligned = profile.text_timing is TextTiming.ALIGNED
        chunk, room = self.shift, profile.text_per_chunk - 1
        placed: list[tuple[int, int]] = [(self.shift, profile.tokens.shift.id)]
        for token in self.reply.text:
            if not 0 <= token.id < profile.text_vocabulary:
                raise DialogueError(f"a reply's text has id {token.id}, which is not a text token")
            wanted = token.at // profile.codes_per_chunk if aligned else chunk
            if wanted > chunk or not room:
                chunk = max(wanted, chunk + 1 if not room else chunk)
                room = profile.text_per_chunk
            placed.append((chunk, token.id))
            room -= 1
        return {
            number: tuple(token for _, token in tokens)
            for number, tokens in groupby(placed, key=lambda one: one[0])
        }


class _ChunkWriter:
    """Answers :func:`~model.duplex.protocol.grammar.walk` from a dialogue, for one chunk."""

    def __init__(self, grammar: Grammar, chunk: int, spoken: _Spoken | None) -> None:
        self.ids: list[int] = []
        self.places: list[int] = []
        tokens, per_chunk = grammar.profile.tokens, grammar.profile.codes_per_chunk
        self._grammar = grammar
        self._text: deque[int] = deque()
        self._codes: deque[int] = deque()
        self._stop = False
        if spoken is not None and spoken.shift <= chunk:
            self._stop = chunk == spoken.stop
            self._text.extend(spoken.text.get(chunk, ()))
            first = chunk * per_chunk - spoken.reply.start
            codes = spoken.reply.codes
            for index in range(first, first + per_chunk):
                code = codes[index] if 0 <= index < len(codes) else SILENCE
                silent = code == SILENCE
                self._codes.append(tokens.speech_filler.id if silent else grammar.first_code + code)

    def __call__(self, place: Place) -> int:
        token = self._token(place)
        self.ids.append(token)
        self.places.append(place)
        return token

    def _token(self, place: Place) -> int:
        tokens = self._grammar.profile.tokens
        match place:
            case Place.USER:
                return USER_FEATURE
            case Place.LISTEN:
                return self._text.popleft() if self._text else tokens.think.id
            case Place.SPEAK if self._stop:
                return tokens.stop.id
            case Place.SPEAK | Place.TEXT | Place.TEXT_FILLER:
                return self._text.popleft() if self._text else tokens.text_filler.id
            case _:
                return self._codes.popleft() if self._codes else tokens.speech_filler.id
