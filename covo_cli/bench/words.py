"""Compare a speaker's words with the recognised ones.

Both texts go through Whisper's English normaliser (case, punctuation, fillers, contractions,
spellings, numbers). Of Chinese, each character is a word, numbers are in characters, and those that
the rules of turn taking know are simplified. Needs jiwer and whisper-normalizer.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from model.lite.text.chinese_form import chinese_form
from model.turns.phrases import phrases_of

_HAN = re.compile(r"[\u4e00-\u9fff]")

WORD_PACKAGES = ("jiwer", "whisper_normalizer")

FIRST_WORDS = 3
"""Number of words at the start of a turn that :func:`first_words_lost` looks for."""


@dataclass(frozen=True, slots=True)
class WordErrors:
    """Errors per meant word: of all kinds, and those that are a word too many (``inserted``)."""

    rate: float
    inserted: float


def word_error_rate(pairs: Sequence[tuple[str, str]]) -> float:
    """Return errors per meant word for pairs (meant, understood), skipping those without words."""
    return word_errors(pairs).rate


def word_errors(pairs: Sequence[tuple[str, str]]) -> WordErrors:
    """Return the errors in pairs (meant, understood), skipping those without words."""
    import jiwer

    normalize = _normalizer()
    normal = [(normalize(meant), normalize(understood)) for meant, understood in pairs]
    kept = [(meant, understood) for meant, understood in normal if re.search(r"\w", meant)]
    if not kept:
        return WordErrors(0.0, 0.0)
    found = jiwer.process_words([meant for meant, _ in kept], [heard for _, heard in kept])
    meant_words = found.hits + found.substitutions + found.deletions
    return WordErrors(float(found.wer), found.insertions / meant_words)


def first_words_lost(meant: str, understood: str) -> tuple[int, int]:
    """Return how many of the first words of ``meant`` are lost in ``understood``, and their total.

    Only deletions count: a misheard word is not lost.
    """
    normalize = _normalizer()
    words, heard = normalize(meant).split(), normalize(understood).split()
    of = min(FIRST_WORDS, len(words))
    return sum(place < of for place in _deleted(words, heard)), of


def words_lost(meant: str, understood: str) -> int:
    """Return how many words of ``meant`` are lost in ``understood``.

    Only deletions count. Each digit is a word, and letters spelt one after another are one, so that
    it does not matter how they are grouped.
    """
    normalize = _normalizer()
    words, heard = (_regrouped(normalize(text)).split() for text in (meant, understood))
    return len(_deleted(words, heard))


def _deleted(words: Sequence[str], heard: Sequence[str]) -> list[int]:
    """Return the places of the ``words`` that are missing in ``heard``."""
    import jiwer

    if not words or not heard:
        return [*range(len(words))]
    chunks = jiwer.process_words(" ".join(words), " ".join(heard)).alignments[0]
    deleted = (chunk for chunk in chunks if chunk.type == "delete")
    return [place for chunk in deleted for place in range(chunk.ref_start_idx, chunk.ref_end_idx)]


def _regrouped(text: str) -> str:
    """Separate the digits of the normalised ``text``, join its single letters, and shorten dates.

    "The 14th of May" becomes "14 may". Zeros are dropped, because the normaliser drops leading ones
    and takes the letter O for one.
    """
    dates = re.sub(r"(?:\bthe )?\b(\d+)(?:st|nd|rd|th)\b(?: of\b)?", r"\1", text)
    digits = re.sub(r"[1-9]", r" \g<0> ", re.sub(r"[0.,:]", " ", dates))
    return re.sub(r"\b([a-z]) +(?=[a-z]\b)", r"\1", digits)


def _normalizer() -> Callable[[str], str]:
    from whisper_normalizer.english import EnglishTextNormalizer

    english: Any = EnglishTextNormalizer()
    chinese = phrases_of("zh")

    def normalize(text: str) -> str:
        if chinese is not None and _HAN.search(text):
            return " ".join(chinese.words_of(chinese_form(text)))
        return str(english(text))

    return normalize
