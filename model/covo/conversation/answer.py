"""One reply as its tokens, and how it is cut back to what was heard of it.

Text runs ahead of speech: five text tokens come with 15 speech codes (0.6 s), which say less than
that, and when the text is over the speech goes on alone. So the text that was heard cannot be read
off the order of the tokens; it is taken by share. Of a reply that is complete, the first half of
the text counts as heard when half of its codes were played. Of one that was cut off while it was
being made, nobody knows how many codes it would have had; it is then assumed that each text token
takes ``pace`` codes, as in the replies so far. What counts as heard ends with a whole word (where
words are written apart) and a whole character.

The cut reply keeps its tokens' order without those that were not heard, so it looks like a shorter
reply of the network's own: alternation, then speech alone.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass

from model.covo.language.tokenizer import CovoTokenizer

CODES_PER_TEXT_TOKEN = 8.0
"""The pace of a conversation's first reply: three to four syllables a second at 25 codes a second,
of which a token holds one to two. A guess, not measured on the published weights."""


@dataclass(frozen=True, slots=True)
class Cut:
    """A reply cut back: ``tokens`` that stay (without the end of the block), and its text."""

    tokens: tuple[int, ...]
    heard: str
    unheard: str


class Answer:
    """The tokens of one reply as they come; one thread adds, others may read.

    ``pace``: speech codes that a text token is assumed to take while the reply is not complete.
    """

    def __init__(self, tokenizer: CovoTokenizer, pace: float = CODES_PER_TEXT_TOKEN) -> None:
        self._tokenizer = tokenizer
        self._pace = pace
        self._tokens: list[int] = []
        self._texts = 0
        self.complete = False
        """Whether the network itself ended the reply."""

    def add(self, token: int) -> None:
        """Take note of the next token, text or speech."""
        self._tokens.append(token)
        if token < self._tokenizer.size:
            self._texts += 1

    @property
    def text_tokens(self) -> int:
        """How many tokens are text."""
        return self._texts

    @property
    def codes(self) -> int:
        """How many tokens are speech."""
        return len(self._tokens) - self._texts

    @property
    def pace(self) -> float:
        """Speech codes to a text token, once the reply is complete; before that, the assumption."""
        if self.complete and self.text_tokens and self.codes:
            return self.codes / self.text_tokens
        return self._pace

    def texts_said_by(self, codes: int) -> int:
        """How many of the text tokens so far the first ``codes`` speech codes say."""
        if self.complete and codes >= self.codes:
            return self.text_tokens
        return min(self.text_tokens, int(codes / self.pace))

    def said_by(self, codes: int) -> str:
        """About what the first ``codes`` speech codes say."""
        return self.cut(codes).heard

    def cut(self, heard_codes: int | None = None) -> Cut:
        """The reply as it was heard: with its first ``heard_codes`` speech codes, or (None) whole.

        A reply that is complete and heard to its last code is whole.
        """
        tokens = tuple(self._tokens)
        texts, codes = self._split(tokens)
        if heard_codes is None or (self.complete and heard_codes >= len(codes)):
            return Cut(tokens, self._tokenizer.decode(texts), "")
        kept = self._whole_words(texts, min(len(texts), self.texts_said_by(heard_codes)))
        staying: list[int] = []
        text_left, codes_left = kept, heard_codes
        for token in tokens:
            if token < self._tokenizer.size:
                if text_left:
                    staying.append(token)
                    text_left -= 1
            elif codes_left:
                staying.append(token)
                codes_left -= 1
        whole = self._tokenizer.decode(texts)
        heard = self._tokenizer.decode(texts[:kept])
        return Cut(tuple(staying), heard, whole[len(heard) :])

    def _split(self, tokens: Sequence[int]) -> tuple[list[int], list[int]]:
        size = self._tokenizer.size
        return [t for t in tokens if t < size], [t for t in tokens if t >= size]

    def _whole_words(self, texts: Sequence[int], count: int) -> int:
        """The largest number up to ``count`` of ``texts`` that ends between two words."""
        whole = b"".join(self._tokenizer.spelling(token) for token in texts)
        ends = [0]
        for token in texts[:count]:
            ends.append(ends[-1] + len(self._tokenizer.spelling(token)))
        while count and not _between_words(whole, ends[count]):
            count -= 1
        return count


def _between_words(spelled: bytes, place: int) -> bool:
    if place == len(spelled) or not place:
        return True
    if 0x80 <= spelled[place] < 0xC0:
        return False  # inside a character
    before = spelled[max(0, place - _LONGEST_CHARACTER) : place].decode(errors="replace")[-1]
    after = spelled[place : place + _LONGEST_CHARACTER].decode(errors="replace")[0]
    return not (_joins(before) and _joins(after))


def _joins(character: str) -> bool:
    """Whether ``character`` belongs to a word that is written apart from others."""
    wide = unicodedata.east_asian_width(character) in "WF"
    inside = character.isalnum() or unicodedata.combining(character) or character in _APOSTROPHES
    return not wide and bool(inside)


_LONGEST_CHARACTER = 4
"""Bytes of the longest character in UTF-8."""
_APOSTROPHES = "'\u2019"
