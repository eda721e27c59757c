"""Judge by words whether a phrase is finished and whether it is a backchannel.

The rules are lists of words by language in ``phrases.toml``. Without rules for a language, turn
taking goes by sound alone.
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
    backchannels (``content``)."""

    kind: OverlapKind
    words: str = ""
    content: int = 0


class Phrases:
    """The rules of one language; each argument is a list of ``phrases.toml``."""

    def __init__(
        self,
        fillers: Iterable[str],
        unfinished: Iterable[str],
        complete: Iterable[str],
        stranded: Iterable[str],
        embedded: Iterable[str],
        questions: Iterable[str],
        openers: Iterable[str],
        wishes: Iterable[str],
        backchannels: Iterable[str],
        interrupting: Iterable[str],
    ) -> None:
        self._fillers = _split(fillers)
        self._open = self._fillers | _split(unfinished)
        self._leading = _split([*fillers, *backchannels, "and", "but"])
        self._complete = _split(complete)
        self._stranded = _split(stranded)
        self._embedded = _split(embedded)
        self._questions = frozenset(questions)
        self._openers = frozenset(openers)
        self._wishes = _split(wishes)
        self._backchannels = _split(backchannels)
        self._interrupting = _split(interrupting)
        self._answers = self._backchannels | self._interrupting

    def end_of(self, text: str) -> PhraseVerdict:
        """Judge by its words whether the last phrase of ``text`` is finished."""
        words = words_of(_SENTENCE_END.split(text.rstrip(" .!?…"))[-1])
        if not words:
            return PhraseVerdict(Phrase.UNKNOWN)
        ending = _longest_at_end(words, self._open)
        if text.rstrip().endswith((",", "-", "—", "...", "…", ":")):
            return PhraseVerdict(Phrase.UNFINISHED, " ".join(ending or words[-1:]))
        if ending and not self._is_complete(words, ending):
            return PhraseVerdict(Phrase.UNFINISHED, " ".join(ending))
        stated = not text.rstrip().endswith("?") and self._states(words)
        return PhraseVerdict(Phrase.STATEMENT if stated else Phrase.FINISHED, " ".join(words[-2:]))

    def over_a_reply(self, text: str, reply: str = "") -> OverlapWords:
        """Classify ``text``, said over a reply with the text ``reply``."""
        words = words_of(text)
        if not words:
            return OverlapWords(OverlapKind.NOTHING)
        said = " ".join(words)
        if len(words) > 1 and f" {said} " in f" {' '.join(words_of(reply))} ":
            return OverlapWords(OverlapKind.ECHO, said)
        left = _without(words, self._backchannels)
        if not left:
            return OverlapWords(OverlapKind.BACKCHANNEL, said)
        kind = (
            OverlapKind.INTERRUPTION
            if _count_at(left, 0, self._interrupting)
            else OverlapKind.WORDS
        )
        return OverlapWords(kind, said, len(left))

    def _states(self, words: Sequence[str]) -> bool:
        """Return whether a sentence of these words states something and asks for nothing.

        A single word after a filler counts, too: often it is a misheard filler.
        """
        hesitant = False
        while len(words) > 1 and words[0] not in self._openers:
            skipped = _count_at(words, 0, self._leading)
            if not skipped or skipped == len(words):
                break
            hesitant = hesitant or tuple(words[:skipped]) in self._fillers
            words = words[skipped:]
        if hesitant and len(words) == 1:
            return words[0] not in self._questions and tuple(words) not in self._answers
        return words[0] in self._openers and not _count_at(words, 0, self._wishes)

    def _is_complete(self, words: Sequence[str], ending: Sequence[str]) -> bool:
        if len(words) == 1:
            return words[0] in self._questions
        if len(_longest_at_end(words, self._complete)) > len(ending):
            return True
        if ending in self._embedded and self._questions & set(words[1 : -len(ending)]):
            return True
        stranded = _longest_at_end(words, self._stranded)
        asked = self._questions & set(words[: len(words) - len(stranded)])
        return bool(stranded) and len(stranded) >= len(ending) and bool(asked)


@functools.cache
def phrases_of(language: str) -> Phrases | None:
    """Return the rules of ``language`` (a code such as ``en``), None if there are none."""
    rules = tomllib.loads(
        resources.files("model.turns").joinpath("phrases.toml").read_text("utf-8")
    )
    return Phrases(**rules[language]) if language in rules else None


_SENTENCE_END = re.compile(r"[.!?…]+\s")
_WORD = re.compile(r"[^\W_]+(?:['’-][^\W_]+)*")

Entries = frozenset[tuple[str, ...]]


def words_of(text: str) -> list[str]:
    """Return the words of ``text`` in lower case, with the apostrophes and hyphens within them."""
    return [word.replace("’", "'") for word in _WORD.findall(text.lower())]


def _split(entries: Iterable[str]) -> Entries:
    return frozenset(tuple(entry.split()) for entry in entries)


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
