"""Judge by words whether a phrase is finished and whether it is a backchannel.

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


class Phrase(StrEnum):
    """How a turn's words end: with a finished question or request; with a finished sentence that
    asks for nothing, so that the point may still come; with a phrase that breaks off."""

    FINISHED = "finished"
    STATEMENT = "statement"
    UNFINISHED = "unfinished"
    UNKNOWN = "unknown"


class OverlapKind(StrEnum):
    """The kind of words said over a reply."""

    NOTHING = "nothing"
    BACKCHANNEL = "a backchannel"
    ECHO = "an echo"
    WORDS = "words"
    INTERRUPTION = "an interruption"


@dataclass(frozen=True, slots=True)
class PhraseVerdict:
    """``phrase``, and the words that decided it."""

    phrase: Phrase
    words: str = ""


@dataclass(frozen=True, slots=True)
class OverlapWords:
    """The ``words`` said over a reply, their ``kind``, and the number of words that are not
    backchannels (``content``; of Chinese, half the number of characters)."""

    kind: OverlapKind
    words: str = ""
    content: int = 0


class Phrases:
    """The rules of one language; each argument is an entry of its file in ``languages/``."""

    def __init__(
        self,
        fillers: Iterable[str] = (),
        unfinished: Iterable[str] = (),
        complete: Iterable[str] = (),
        stranded: Iterable[str] = (),
        embedded: Iterable[str] = (),
        questions: Iterable[str] = (),
        asking: Iterable[str] = (),
        connectives: Iterable[str] = (),
        openers: Iterable[str] = (),
        wishes: Iterable[str] = (),
        backchannels: Iterable[str] = (),
        interrupting: Iterable[str] = (),
        *,
        by_character: bool = False,
        variants: str = "",
    ) -> None:
        self._by_character = by_character
        self._variants = str.maketrans({pair[0]: pair[1] for pair in variants.split()})
        self._fillers = self._split(fillers)
        self._open = self._fillers | self._split(unfinished)
        self._leading = self._split([*fillers, *backchannels, *connectives])
        self._complete = self._split(complete)
        self._stranded = self._split(stranded)
        self._embedded = self._split(embedded)
        self._questions = frozenset(questions)
        self._asking = self._split(asking)
        self._openers = self._split(openers)
        self._wishes = self._split(wishes)
        self._backchannels = self._split(backchannels)
        self._interrupting = self._split(interrupting)
        self._answers = self._backchannels | self._interrupting

    def of(self, language: str) -> Phrases | None:
        """Return the rules for words in ``language``: these if it is empty, None if there are
        none."""
        return phrases_of(language) if language else self

    def words_of(self, text: str) -> list[str]:
        """Return the words of ``text``; of a language without spaces, its characters."""
        if not self._by_character:
            return words_of(text)
        return _CHARACTER_OR_WORD.findall(text.lower().translate(self._variants))

    def end_of(self, text: str) -> PhraseVerdict:
        """Judge by its words whether the last phrase of ``text`` is finished."""
        words = self.words_of(_SENTENCE_END.split(text.rstrip(" .!?…。！？"))[-1])
        if not words:
            return PhraseVerdict(Phrase.UNKNOWN)
        ending = _longest_at_end(words, self._open)
        if text.rstrip().endswith((",", "-", "—", "...", "…", ":", "，", "、", "：")):
            return PhraseVerdict(Phrase.UNFINISHED, self._shown(ending or words[-1:]))
        if ending and not self._is_complete(words, ending):
            return PhraseVerdict(Phrase.UNFINISHED, self._shown(ending))
        stated = not text.rstrip().endswith(("?", "？")) and self._states(words)
        phrase = Phrase.STATEMENT if stated else Phrase.FINISHED
        return PhraseVerdict(phrase, self._shown(words[-2:]))

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

    def _states(self, words: Sequence[str]) -> bool:
        """Return whether a sentence of these words states something and asks for nothing.

        A single word after a filler counts, too: often it is a misheard filler.
        """
        hesitant = False
        if self._asks(words):
            return False
        while len(words) > 1 and not _count_at(words, 0, self._openers):
            skipped = _count_at(words, 0, self._leading)
            if not skipped or skipped == len(words):
                break
            hesitant = hesitant or tuple(words[:skipped]) in self._fillers
            words = words[skipped:]
        if hesitant and len(words) == 1:
            return words[0] not in self._questions and tuple(words) not in self._answers
        opened = _count_at(words, 0, self._openers)
        return bool(opened) and not _count_at(words, 0, self._wishes)

    def _is_complete(self, words: Sequence[str], ending: Sequence[str]) -> bool:
        if len(words) == 1:
            return words[0] in self._questions or tuple(words) in self._complete
        if len(_longest_at_end(words, self._complete)) > len(ending):
            return True
        if ending in self._embedded and self._questions & set(words[1 : -len(ending)]):
            return True
        stranded = _longest_at_end(words, self._stranded)
        asked = self._questions & set(words[: len(words) - len(stranded)])
        return bool(stranded) and len(stranded) >= len(ending) and bool(asked)

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
    return Phrases(**tomllib.loads(file.read_text("utf-8"))) if file.is_file() else None


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
