"""A dialogue as chunks, and chunks as a dialogue: what training writes is what the loop says.

Both channels lie on one clock. The user's audio is cut into chunks; the assistant's speech codes
stand in the chunk in whose time they sound. A reply reaches from SHIFT's chunk to the last that
holds its speech or its text, and BREAK's follows; so at least BREAK's lies between two replies.
:func:`join_close` makes one reply of those that are closer.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from itertools import groupby

import numpy as np
from numpy.typing import NDArray

from audio_io.signal import Audio
from model.duplex.protocol.grammar import Grammar, Place, Turn, walk
from model.duplex.protocol.profile import TextTiming
from model.errors import DialogueError

SILENCE = -1
"""In a reply's codes: a pause of one code."""

USER_FEATURE = -1
"""In the ids of chunks: here stands a feature of the user's audio."""


@dataclass(frozen=True, slots=True)
class TimedToken:
    """A text token, and when it is said: in speech codes since the dialogue began."""

    id: int
    at: int


@dataclass(frozen=True, slots=True)
class Reply:
    """One time that the assistant speaks.

    ``codes`` (codebook indices; SILENCE only inside) sound from code ``start`` of the dialogue on.
    """

    start: int
    codes: tuple[int, ...]
    text: tuple[TimedToken, ...] = ()

    @property
    def end(self) -> int:
        """The code just after its last."""
        return self.start + len(self.codes)


@dataclass(frozen=True, slots=True)
class Dialogue:
    """Two channels: ``user``, float32 mono at 16 kHz, and the assistant's ``replies`` in order."""

    user: Audio = field(repr=False)
    replies: tuple[Reply, ...] = ()


@dataclass(frozen=True, slots=True)
class ChunkedDialogue:
    """A dialogue in chunks.

    ``audio`` (chunks, chunk_samples) is the user's. ``ids`` (n,) stand at the ``places`` (n,) of
    kind :class:`~model.duplex.protocol.grammar.Place`, one chunk after the other.
    """

    audio: NDArray[np.float32] = field(repr=False)
    ids: NDArray[np.int64] = field(repr=False)
    places: NDArray[np.int8] = field(repr=False)


def encode(dialogue: Dialogue, grammar: Grammar) -> ChunkedDialogue:
    """``dialogue`` in chunks; what is missing of the user's last chunk is silence.

    Raises: DialogueError when a reply has no speech, or codes or text outside of the vocabulary,
    begins before its SHIFT could, or follows another too closely.
    """
    profile = grammar.profile
    spoken = [_Spoken(reply, grammar) for reply in dialogue.replies]
    free = 0
    for one in spoken:
        if one.shift < free:
            raise DialogueError(
                f"the reply at {one.reply.start / profile.code_rate:.2f} s begins too early: its "
                f"SHIFT would be in chunk {one.shift}, and the first free one is {free}"
            )
        free = one.stop + 1
    count = max(-(-len(dialogue.user) // profile.chunk_samples), free)
    audio = np.zeros((count, profile.chunk_samples), np.float32)
    audio.reshape(-1)[: len(dialogue.user)] = dialogue.user
    waiting = deque(spoken)
    turn = Turn()
    ids: list[int] = []
    places: list[int] = []
    for chunk in range(count):
        writer = _ChunkWriter(grammar, chunk, waiting[0] if waiting else None)
        turn = walk(grammar, turn, writer)
        ids += writer.ids
        places += writer.places
        if waiting and waiting[0].stop == chunk:
            waiting.popleft()
    return ChunkedDialogue(audio, np.array(ids, np.int64), np.array(places, np.int8))


def decode(chunked: ChunkedDialogue, grammar: Grammar) -> Dialogue:
    """The dialogue in ``chunked``. A reply without BREAK ends with the dialogue.

    Raises: DialogueError when ids and places are not those of whole chunks.
    """
    reader = _Reader(chunked, grammar)
    turn = Turn()
    collector = ReplyCollector(grammar)
    for chunk in range(len(chunked.audio)):
        reader.begin()
        turn = walk(grammar, turn, reader)
        collector.add(chunk, reader.taken)
    if reader.left:
        raise DialogueError(f"{reader.left} tokens follow the dialogue's last chunk")
    return Dialogue(chunked.audio.reshape(-1), collector.replies)


class ReplyCollector:
    """Makes replies of what stands in the chunks, as they come."""

    def __init__(self, grammar: Grammar) -> None:
        self._grammar = grammar
        self._done: list[Reply] = []
        self._start: int | None = None
        self._codes: list[int] = []
        self._text: list[TimedToken] = []

    @property
    def replies(self) -> tuple[Reply, ...]:
        """All so far; the last one may not be over."""
        return (*self._done, *([self._current()] if self._start is not None else []))

    def add(self, chunk: int, taken: Iterable[tuple[Place, int]]) -> None:
        """Take in chunk number ``chunk``: its places and ids in order."""
        profile, grammar = self._grammar.profile, self._grammar
        tokens = profile.tokens
        at = chunk * profile.codes_per_chunk
        for place, token in taken:
            if token == tokens.shift.id and place is Place.LISTEN:
                self._start, self._codes, self._text = at, [], []
            elif token == tokens.stop.id and place is Place.SPEAK:
                self._done.append(self._current())
                self._start = None
            elif self._start is None:
                continue
            elif place in (Place.SPEAK, Place.TEXT) and token != tokens.text_filler.id:
                self._text.append(TimedToken(token, at))
            elif place in (Place.CODE, Place.SPEECH_FILLER):
                silent = token == tokens.speech_filler.id
                self._codes.append(SILENCE if silent else token - grammar.first_code)

    def _current(self) -> Reply:
        start, codes = self._start or 0, self._codes
        lead = next((i for i, code in enumerate(codes) if code != SILENCE), len(codes))
        trail = next((i for i, code in enumerate(reversed(codes)) if code != SILENCE), 0)
        return Reply(start + lead, tuple(codes[lead : len(codes) - trail]), tuple(self._text))


def join_close(replies: Iterable[Reply], grammar: Grammar) -> tuple[Reply, ...]:
    """``replies`` with those joined, by silence, that are too close to have a BREAK between.

    Raises: DialogueError when one begins before the one before it has ended.
    """
    joined: list[Reply] = []
    for reply in replies:
        if joined and reply.start < joined[-1].end:
            rate = grammar.profile.code_rate
            raise DialogueError(
                f"the reply at {reply.start / rate:.2f} s begins before the one at "
                f"{joined[-1].start / rate:.2f} s has ended: replies stand in order, one at a time"
            )
        if joined and _Spoken(reply, grammar).shift <= _Spoken(joined[-1], grammar).stop:
            before = joined.pop()
            pause = (SILENCE,) * (reply.start - before.end)
            text = (*before.text, *reply.text)
            joined.append(Reply(before.start, (*before.codes, *pause, *reply.codes), text))
        else:
            joined.append(reply)
    return tuple(joined)


class _Spoken:
    """A reply on its chunks: from ``shift`` to ``stop``, BREAK's. ``text``: by chunk."""

    def __init__(self, reply: Reply, grammar: Grammar) -> None:
        profile = grammar.profile
        per_chunk = profile.codes_per_chunk
        if not reply.codes or SILENCE in (reply.codes[0], reply.codes[-1]):
            raise DialogueError(
                f"the reply at code {reply.start} must begin and end with a speech code"
            )
        low, high = min(reply.codes), max(reply.codes)
        if low < SILENCE or high >= grammar.codebook:
            raise DialogueError(f"a reply has a code outside of the codebook: {low} or {high}")
        self.reply = reply
        self.shift = reply.start // per_chunk - profile.lead
        self.text = self._schedule(grammar)
        self.stop = 1 + max((reply.end - 1) // per_chunk, *self.text)

    def _schedule(self, grammar: Grammar) -> Mapping[int, tuple[int, ...]]:
        """The text tokens of each chunk; SHIFT takes the first text slot of its own."""
        profile = grammar.profile
        aligned = profile.text_timing is TextTiming.ALIGNED
        chunk, room = self.shift, profile.text_per_chunk - 1
        placed: list[tuple[int, int]] = [(self.shift, profile.tokens.shift.id)]
        for token in self.reply.text:
            if not 0 <= token.id < profile.text_vocabulary:
                raise DialogueError(f"a reply's text has id {token.id}, which is no text")
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
    """Answers :func:`~model.duplex.protocol.grammar.walk` with what a dialogue has in one chunk."""

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


class _Reader:
    """Answers :func:`~model.duplex.protocol.grammar.walk` with what stands in the chunks."""

    def __init__(self, chunked: ChunkedDialogue, grammar: Grammar) -> None:
        if len(chunked.ids) != len(chunked.places):
            raise DialogueError("there are not as many ids as places")
        places: list[int] = chunked.places.tolist()
        ids: list[int] = chunked.ids.tolist()
        self._rest = deque(zip(places, ids, strict=True))
        self._grammar = grammar
        self.taken: list[tuple[Place, int]] = []

    @property
    def left(self) -> int:
        """Places not read yet."""
        return len(self._rest)

    def begin(self) -> None:
        """Begin a chunk."""
        self.taken = []

    def __call__(self, place: Place) -> int:
        if not self._rest:
            raise DialogueError("the dialogue's last chunk is not whole")
        found, token = self._rest.popleft()
        if found != place:
            raise DialogueError(f"there is a {Place(found).name} where a {place.name} belongs")
        allowed = self._grammar.vocabularies.get(place)
        if allowed is not None:
            allowed.index(token)
        self.taken.append((place, token))
        return token
