"""Tell how a turn's words end, and what kind of words is said over a reply.

The rules of a language are its file in ``languages/``, lists of words that ``en.toml`` explains.
Without a file, turn taking goes by sound and silence alone.
"""

from __future__ import annotations

import functools
import re
import tomllib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from enum import StrEnum
from importlib import resources


class OverlapKind(StrEnum):
    """The kind of words said over a reply."""

    NOTHING = "nothing"
    BACKCHANNEL = "a backchannel"
    ECHO = "an echo"
    WORDS = "words"
    INTERRUPTION = "an interruption"


@dataclass(frozen=True, slots=True)
class OverlapWords:
    """The ``words`` said over a reply, their ``kind``, and the number of words that are not
    backchannels (``content``; of Chinese, half the number of characters)."""

    kind: OverlapKind
    words: str = ""
    content: int = 0


@dataclass(frozen=True, slots=True)
class LastPhrase:
    """A turn's last sentence, and how it ends.

    ``length``: in words. ``sentences``: of the whole turn. ``asks``: there is a question in it.
    ``filler``: it ends with a sound or word that holds the floor. ``open``: it ends with a word
    after which a phrase mostly goes on. ``spelt``: it ends with a number or a letter.
    """

    length: int = 0
    sentences: int = 0
    asks: bool = False
    filler: bool = False
    open: bool = False
    spelt: bool = False


class Phrases:
    """The rules of one language; each argument is an entry of its file in ``languages/``."""

    def __init__(
        self,
        language: str,
        fillers: Iterable[str] = (),
        unfinished: Iterable[str] = (),
        questions: Iterable[str] = (),
        asking: Iterable[str] = (),
        backchannels: Iterable[str] = (),
        interrupting: Iterable[str] = (),
        numbers: Iterable[str] = (),
        *,
        by_character: bool = False,
        variants: str = "",
    ) -> None:
        self.language = language
        """Its code, such as ``en``."""
        self._by_character = by_character
        self._variants = str.maketrans({pair[0]: pair[1] for pair in variants.split()})
        self._fillers = self._split(fillers)
        self._unfinished = self._split(unfinished)
        self._numbers = frozenset(numbers)
        self._questions = frozenset(questions)
        self._asking = self._split(asking)
        self._backchannels = self._split(backchannels)
        self._interrupting = self._split(interrupting)

    def of(self, language: str) -> Phrases | None:
        """Return the rules for words in ``language``: these if it is empty, None if there are
        none."""
        return phrases_of(language) if language else self

    def words_of(self, text: str) -> list[str]:
        """Return the words of ``text``; of a language without spaces, its characters."""
        if not self._by_character:
            return words_of(text)
        return _CHARACTER_OR_WORD.findall(text.lower().translate(self._variants))

    def last_phrase(self, text: str) -> LastPhrase:
        """Return how ``text`` ends."""
        sentences = [self.words_of(part) for part in _SENTENCE_END.split(text)]
        spoken = [words for words in sentences if words]
        if not spoken:
            return LastPhrase()
        words = spoken[-1]
        final = words[-1]
        return LastPhrase(
            self._count(words),
            len(spoken),
            asks=self._asks(words) or words[0] in self._questions,
            filler=bool(_longest_at_end(words, self._fillers)),
            open=bool(_longest_at_end(words, self._unfinished)),
            spelt=final[-1].isdigit() or final in self._numbers or self._is_letter(final),
        )

    def over_a_reply(self, text: str, reply: str = "") -> OverlapWords:
        """Classify ``text``, said over a reply with the text ``reply``."""
        words = self.words_of(text)
        if not words:
            return OverlapWords(OverlapKind.NOTHING)
        said = self._shown(words)
        if self._count(words) > 1 and _holds(self.words_of(reply), tuple(words)):
            return OverlapWords(OverlapKind.ECHO, said)
        left = self._without_backchannels(words)
        if not left:
            return OverlapWords(OverlapKind.BACKCHANNEL, said)
        interrupts = _count_at(left, 0, self._interrupting) or self._asks(words)
        kind = OverlapKind.INTERRUPTION if interrupts else OverlapKind.WORDS
        return OverlapWords(kind, said, self._count(left))

    def _is_letter(self, word: str) -> bool:
        """Return whether ``word`` is a letter, as in spelling."""
        return len(word) == 1 and word.isascii() and (word,) not in self._unfinished

    def _asks(self, words: Sequence[str]) -> bool:
        """Return whether ``words`` hold one of the ``asking``."""
        return any(_count_at(words, at, self._asking) for at in range(len(words)))

    def _without_backchannels(self, words: Sequence[str]) -> Sequence[str]:
        """Return ``words`` without backchannels.

        Without spaces only those at the beginning: later, their characters are parts of words.
        """
        if not self._by_character:
            return _without(words, self._backchannels)
        at = 0
        while taken := _count_at(words, at, self._backchannels):
            if taken < _count_at(words, at, self._interrupting | self._asking):
                break
            at += taken
        return words[at:]

    def _count(self, words: Sequence[str]) -> int:
        """Return the number of words; two Chinese characters are one."""
        characters = sum(bool(_CHARACTER.fullmatch(word)) for word in words)
        return len(words) - characters + (characters + 1) // 2

    def _shown(self, words: Sequence[str]) -> str:
        return ("" if self._by_character else " ").join(words)

    def _split(self, entries: Iterable[str]) -> Entries:
        if self._by_character:
            return frozenset(tuple(self.words_of(entry)) for entry in entries)
        return frozenset(tuple(entry.split()) for entry in entries)


@functools.cache
def phrases_of(language: str) -> Phrases | None:
    """Return the rules of ``language`` (a code such as ``en``), None if there are none."""
    file = resources.files("model.turns").joinpath("languages", f"{language}.toml")
    return Phrases(language, **tomllib.loads(file.read_text("utf-8"))) if file.is_file() else None


_SENTENCE_END = re.compile(r"[.!?…]+\s|[。！？]+")
_WORD = re.compile(r"[^\W_]+(?:['’-][^\W_]+)*")
_CHARACTER = re.compile(r"[\u3400-\u4dbf\u4e00-\u9fff]")
_CHARACTER_OR_WORD = re.compile(rf"{_CHARACTER.pattern}|[^\W_\u3400-\u4dbf\u4e00-\u9fff]+")

Entries = frozenset[tuple[str, ...]]


def words_of(text: str) -> list[str]:
    """Return the words of ``text`` in lower case, with the apostrophes and hyphens within them."""
    return [word.replace("’", "'") for word in _WORD.findall(text.lower())]


def _longest_at_end(words: Sequence[str], entries: Entries) -> tuple[str, ...]:
    """Return the longest of ``entries`` that ends ``words``, empty if none does."""
    longest = max((len(entry) for entry in entries), default=0)
    for length in range(min(longest, len(words)), 0, -1):
        ending = tuple(words[-length:])
        if ending in entries:
            return ending
    return ()


def _count_at(words: Sequence[str], at: int, entries: Iterable[tuple[str, ...]]) -> int:
    """Return the number of words of the longest of ``entries`` at position ``at``."""
    return max((len(e) for e in entries if tuple(words[at : at + len(e)]) == e), default=0)


def _holds(words: Sequence[str], part: tuple[str, ...]) -> bool:
    """Return whether ``part`` stands somewhere in ``words``."""
    return any(_count_at(words, at, [part]) for at in range(len(words)))


def _without(words: Sequence[str], entries: Entries) -> list[str]:
    """Return ``words`` without those in ``entries``."""
    left: list[str] = []
    at = 0
    while at < len(words):
        taken = _count_at(words, at, entries)
        if not taken:
            left.append(words[at])
        at += taken or 1
    return left
