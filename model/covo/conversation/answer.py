"""One reply as tokens, and how it is cut back to the part that was heard.

Text runs ahead of speech: five text tokens come with 15 speech codes (0.6 s), which say less than
that, and after the text the speech continues alone. So the share of the codes, not the order of the
tokens, tells which text a sound says. Half of a complete reply's text is said by half of its codes.
While a reply is incomplete, its final number of codes is unknown, and each text token is assumed to
take ``pace`` codes, as in the replies before.

A cut reply keeps the order of its remaining tokens, so it looks like a shorter reply of the
network's own: alternation, then speech alone.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from audio_io.signal import Audio
from model.covo.conversation.history import Segment
from model.covo.language.tokenizer import CovoTokenizer, TextStream

CODES_PER_TEXT_TOKEN = 8.0
"""The pace of a conversation's first reply: three to four syllables a second, one or two per text
token, at 25 codes a second. A guess, not measured on the published weights."""

TEXT_GROUP, CODE_GROUP = 5, 15
"""Text tokens and speech codes that alternate while there is text."""


def alternated(text: Sequence[int], codes: Sequence[int]) -> list[int]:
    """Return ``text`` and ``codes`` in the order in which the network writes them."""
    words, sounds, tokens = list(text), list(codes), list[int]()
    while words:
        tokens += words[:TEXT_GROUP] + sounds[:CODE_GROUP]
        del words[:TEXT_GROUP], sounds[:CODE_GROUP]
    return tokens + sounds


class Answer:
    """The tokens of one reply as they come; one thread adds, others may read.

    ``pace``: speech codes per text token to assume until the reply is complete.
    """

    def __init__(self, tokenizer: CovoTokenizer, pace: float = CODES_PER_TEXT_TOKEN) -> None:
        self._tokenizer = tokenizer
        self._pace = pace
        self._tokens: list[int] = []
        self._texts = 0
        self.complete = False
        """Whether the network ended the reply itself."""

    def add(self, token: int) -> None:
        """Add the next token, text or speech."""
        self._tokens.append(token)
        if token < self._tokenizer.size:
            self._texts += 1

    @property
    def text_tokens(self) -> int:
        """Return the number of text tokens."""
        return self._texts

    @property
    def codes(self) -> int:
        """Return the number of speech codes."""
        return len(self._tokens) - self._texts

    @property
    def pace(self) -> float:
        """Return speech codes per text token: measured if the reply is complete, else assumed."""
        if self.complete and self.text_tokens and self.codes:
            return self.codes / self.text_tokens
        return self._pace

    def texts_said_by(self, codes: int) -> int:
        """Return how many of the text tokens so far the first ``codes`` speech codes say."""
        if self.complete and codes >= self.codes:
            return self.text_tokens
        return min(self.text_tokens, int(codes / self.pace))

    def said_by(self, codes: int) -> str:
        """Return roughly what the first ``codes`` speech codes say, in whole characters."""
        count = self.texts_said_by(codes)
        stream = TextStream(self._tokenizer)
        said = "".join(stream.step(token) for token in self._text_tokens(self._tokens)[:count])
        return said + stream.end() if self.complete and count == self.text_tokens else said

    def cut(self, codes: int | None = None, text: str | None = None) -> tuple[int, ...]:
        """Return the tokens of the first ``codes`` speech codes and of ``text``, the beginning of
        the reply's text; None: all."""
        tokens = tuple(self._tokens)
        texts = self._text_tokens(tokens)
        texts_left = len(texts) if text is None else self._count(texts, text)
        codes_left = len(tokens) if codes is None else codes
        kept: list[int] = []
        for token in tokens:
            if token < self._tokenizer.size:
                texts_left, wanted = texts_left - 1, texts_left > 0
            else:
                codes_left, wanted = codes_left - 1, codes_left > 0
            if wanted:
                kept.append(token)
        return tuple(kept)

    def _text_tokens(self, tokens: Sequence[int]) -> list[int]:
        return [token for token in tokens if token < self._tokenizer.size]

    def _count(self, texts: Sequence[int], text: str) -> int:
        """Return how many of ``texts`` spell the longest part of ``text``, in whole characters."""
        stream, spelled, count = TextStream(self._tokenizer), 0, 0
        for index, token in enumerate(texts, start=1):
            spelled += len(stream.step(token))
            if spelled > len(text):
                break
            if not stream.pending:
                count = index
        return count


@dataclass(slots=True, eq=False)
class DialogueReply:
    """A reply that has begun.

    ``audio`` (samples,) float32 mono 16 kHz, ``text``, or both (a question about the audio): what
    the user said. ``seed``: of the reply's random numbers. ``turn``: the turn as network input,
    None until it was encoded. ``dropped``: turns that this reply reports as dropped. ``over``:
    whether its stream has ended or, once remembered, no longer matters. ``remembered``: whether it
    is part of the conversation.
    """

    audio: Audio | None
    text: str
    answer: Answer
    seed: int
    turn: Segment | None = None
    dropped: int = 0
    over: bool = False
    remembered: bool = False
