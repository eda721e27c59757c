"""Find the words of recorded conversations."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass

from covo_cli.errors import SessionError
from covo_cli.process.text import clean
from covo_cli.sessions.store import Session
from covo_cli.sessions.transcript import TranscriptEntry
from model.hearing.languages import UNSPACED

_WORD_BEGINS = rf"(?<![^\W{UNSPACED}])"
_KEPT_MARKS = (0, 8)
"""Classes of combining characters that are no accents: none, and the voicing of kana."""
_APOSTROPHES = str.maketrans("’‘ʼ", "'''")


@dataclass(frozen=True, slots=True)
class SearchHit:
    """An utterance with the words that were looked for.

    ``text``: what was said, on one line. ``places``: first and last index + 1 of each match in it.
    """

    session: Session
    entry: TranscriptEntry
    text: str
    places: tuple[tuple[int, int], ...]


def search(
    sessions: Iterable[Session], wanted: Sequence[str], among: Callable[[Iterable[bool]], bool]
) -> Iterator[SearchHit]:
    """Yield the utterances that have ``wanted``, in order, whatever their case and accents.

    Each of ``wanted`` is a word, or several in a row, and matches where a word begins so; in a
    script without spaces, anywhere. ``among``: :func:`all` or :func:`any` of them. Raises:
    SessionError if one of them is empty.
    """
    patterns = [_pattern(words) for words in wanted]
    for session in sessions:
        for entry in session.transcript:
            text = clean(entry.text)
            folded, origin = _folded(text)
            found = [[*pattern.finditer(folded)] for pattern in patterns]
            if among(map(bool, found)):
                spans = [match.span() for matches in found for match in matches]
                places = {(origin[begin], origin[end - 1] + 1) for begin, end in spans}
                yield SearchHit(session, entry, text, tuple(sorted(places)))


def _pattern(words: str) -> re.Pattern[str]:
    parts = [re.escape(_folded(word)[0]) for word in words.split()]
    if not any(parts):
        raise SessionError("there is nothing to search for: give one word or more")
    spaced = not re.match(f"[{UNSPACED}]", parts[0])
    return re.compile(_WORD_BEGINS + r"\s+".join(parts) if spaced else r"\s*".join(parts))


def _folded(text: str) -> tuple[str, list[int]]:
    """Return ``text`` without case and accents, and where in ``text`` each character stood."""
    folded: list[str] = []
    origin: list[int] = []
    for index, char in enumerate(text.translate(_APOSTROPHES)):
        parts = unicodedata.normalize("NFKD", char).casefold()
        plain = "".join(part for part in parts if unicodedata.combining(part) in _KEPT_MARKS)
        for part in unicodedata.normalize("NFC", plain):
            folded.append(part)
            origin.append(index)
    return "".join(folded), origin
