"""Decode chunks into the dialogue that they hold: the reverse of encoding, to check it."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable

from model.duplex.protocol.grammar import AssistantState, Grammar, Place, walk
from model.duplex.protocol.sequence import (
    SILENCE,
    ChunkedDialogue,
    TimedDialogue,
    TimedReply,
    TimedToken,
)
from model.errors import DialogueError


def decode(chunked: ChunkedDialogue, grammar: Grammar) -> TimedDialogue:
    """Decode ``chunked``. A reply without BREAK ends with the dialogue.

    Raises: DialogueError if the ids and places do not form whole chunks.
    """
    reader = _ChunkReader(chunked, grammar)
    state = AssistantState()
    collector = ReplyCollector(grammar)
    for chunk in range(len(chunked.audio)):
        reader.begin()
        state = walk(grammar, state, reader)
        collector.add(chunk, reader.taken)
    if reader.left:
        raise DialogueError(f"{reader.left} tokens follow the last chunk of the dialogue")
    return TimedDialogue(chunked.audio.reshape(-1), collector.replies)


class ReplyCollector:
    """Collects replies from the contents of chunks, one chunk at a time."""

    def __init__(self, grammar: Grammar) -> None:
        self._grammar = grammar
        self._done: list[TimedReply] = []
        self._start: int | None = None
        self._codes: list[int] = []
        self._text: list[TimedToken] = []

    @property
    def replies(self) -> tuple[TimedReply, ...]:
        """All replies so far; the last one may be unfinished."""
        return (*self._done, *([self._current()] if self._start is not None else []))

    def add(self, chunk: int, taken: Iterable[tuple[Place, int]]) -> None:
        """Add chunk number ``chunk``, given as its places and ids in order."""
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

    def _current(self) -> TimedReply:
        start, codes = self._start or 0, self._codes
        lead = next((i for i, code in enumerate(codes) if code != SILENCE), len(codes))
        trail = next((i for i, code in enumerate(reversed(codes)) if code != SILENCE), 0)
        return TimedReply(start + lead, tuple(codes[lead : len(codes) - trail]), tuple(self._text))


class _ChunkReader:
    """Answers :func:`~model.duplex.protocol.grammar.walk` from the sequence of all chunks."""

    def __init__(self, chunked: ChunkedDialogue, grammar: Grammar) -> None:
        if len(chunked.ids) != len(chunked.places):
            raise DialogueError(f"{len(chunked.ids)} ids do not match {len(chunked.places)} places")
        places: list[int] = chunked.places.tolist()
        ids: list[int] = chunked.ids.tolist()
        self._rest = deque(zip(places, ids, strict=True))
        self._grammar = grammar
        self.taken: list[tuple[Place, int]] = []

    @property
    def left(self) -> int:
        """The number of places not read yet."""
        return len(self._rest)

    def begin(self) -> None:
        """Start the next chunk."""
        self.taken = []

    def __call__(self, place: Place) -> int:
        if not self._rest:
            raise DialogueError("the last chunk of the dialogue is incomplete")
        found, token = self._rest.popleft()
        if found != place:
            raise DialogueError(f"found {Place(found).name} where {place.name} belongs")
        allowed = self._grammar.vocabularies.get(place)
        if allowed is not None and token not in allowed:
            raise DialogueError(f"token {token} cannot stand in this slot")
        self.taken.append((place, token))
        return token
