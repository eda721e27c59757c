"""What a voice says of a text, and the words for which it has no sounds."""

from __future__ import annotations

import re
import unicodedata

from model.lite.text.chinese_form import chinese_form
from model.lite.text.markup import without_markup
from model.lite.text.spoken_form import multiplied, spoken_form

_SOUND = re.compile(r"\w")
_WORD = re.compile(r"[^\W\d_]+")
_LATIN = ("LATIN ", "FULLWIDTH LATIN ", "MODIFIER LETTER ", "FEMININE ", "MASCULINE ", "MICRO ")
_SYMBOLS_LETTERS = 2
"""Letters of a Greek word that is read as symbols, such as π and Δx."""
_LONGEST_SHOWN = 40


def speakable(text: str, language: str = "en") -> str:
    """Return what a voice of ``language`` says of ``text``: no markup, no words without sounds.

    Perhaps nothing.
    """
    said = unicodedata.normalize("NFC", text)
    chinese = language == "zh" and _is_read_in_chinese(said)
    said = without_markup(said if chinese else multiplied(said))
    for word in unsayable(said, language):
        said = said.replace(word, " ")
    said = chinese_form(said) if chinese else spoken_form(said)
    return said if _SOUND.search(said) else ""


def unsayable(text: str, language: str = "en") -> list[str]:
    """Return the words in ``text`` for whose letters a voice of ``language`` has no sounds."""
    words: list[str] = []
    run = ""
    for char in [*unicodedata.normalize("NFC", text), "."]:
        silent = _has_no_sound(char) and not (language == "zh" and _is_chinese(char))
        if silent or (run and unicodedata.category(char).startswith("M")):
            run += char
        elif run:
            words.append(run)
            run = ""
    greek = [word for word in _WORD.findall(text) if all(map(_is_greek, word))]
    return [*words, *(word for word in greek if len(word) > _SYMBOLS_LETTERS)]


def no_sounds(words: list[str]) -> str:
    """Tell the user about ``words`` that were not said."""
    shown = " ".join(words)
    if len(shown) > _LONGEST_SHOWN:
        shown = f"{shown[:_LONGEST_SHOWN]}…"
    return f"the voice has no sounds for “{shown}”: read it in the transcript"


def _has_no_sound(char: str) -> bool:
    if not char.isalpha() or char.isascii():
        return False
    plain = unicodedata.normalize("NFKC", char)[0]
    return not (_is_greek(plain) or unicodedata.name(plain, "").startswith(_LATIN))


def _is_greek(char: str) -> bool:
    return unicodedata.name(char, "").startswith("GREEK ")


def _is_read_in_chinese(text: str) -> bool:
    """Return whether a Chinese voice reads the numbers in ``text`` in Chinese."""
    return any(map(_is_chinese, text)) or not any(map(str.isalpha, text))


def _is_chinese(char: str) -> bool:
    return unicodedata.name(char, "").startswith("CJK UNIFIED ")
