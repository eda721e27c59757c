"""What a voice says of a text, and the words for which it has no sounds."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Callable

from model.lite.text.chinese_form import chinese_form
from model.lite.text.markup import without_citations, without_markup
from model.lite.text.spanish.form import multiplied_in_spanish, spanish_form
from model.lite.text.spoken_form import multiplied, spoken_form

_SOUND = re.compile(r"\w")
_WORD = re.compile(r"[^\W\d_]+")
_LATIN = ("LATIN ", "FULLWIDTH LATIN ", "MODIFIER LETTER ", "FEMININE ", "MASCULINE ", "MICRO ")
_FORMS = ("<font>", "<wide>", "<narrow>", "<compat>", "<circle>")
"""Forms of characters that mean the plain ones, unlike exponents and fractions."""
_ORDINAL = re.compile("(?<=[0-9n])(?:ˢᵗ|ⁿᵈ|ʳᵈ|ᵗʰ)")
_SYMBOLS_LETTERS = 2
"""Letters of a Greek word that is read as symbols, such as π and Δx."""
_LONGEST_SHOWN = 40
_READ_IN: dict[str, tuple[Callable[[str], str], Callable[[str], str]]] = {
    "en": (multiplied, spoken_form),
    "es": (multiplied_in_spanish, spanish_form),
    "zh": (str, chinese_form),
}
"""By language, what puts its words for products before markup is removed, and for the rest."""


def speakable(text: str, language: str = "en") -> str:
    """Return what a voice of ``language`` says of ``text``: no markup, no words without sounds.

    Perhaps nothing.
    """
    said = plain_characters(without_citations(text))
    read_in = language if language != "zh" or _is_read_in_chinese(said) else "en"
    multiply, in_words = _READ_IN[read_in]
    said = without_markup(multiply(said), language)
    for word in unsayable(said, language):
        said = said.replace(word, " ")
    said = in_words(said)
    return said if _SOUND.search(said) else ""


def plain_characters(text: str) -> str:
    """Return ``text`` in characters that are read: without invisible ones, marks that belong to no
    letter, and other forms of letters and digits."""
    out: list[str] = []
    text = _ORDINAL.sub(lambda match: unicodedata.normalize("NFKC", match.group()), text)
    for char in unicodedata.normalize("NFC", text):
        kind = unicodedata.category(char)
        if char.isascii() and kind != "Cc":
            out.append(char)
        elif _is_unread(char, kind, out[-1:]):
            continue
        elif kind == "Nd":
            out.append(str(unicodedata.decimal(char)))
        elif kind[0] in "LN" and unicodedata.decomposition(char).startswith(_FORMS):
            plain = unicodedata.normalize("NFKC", char)
            out.append(plain if plain.isascii() and plain.isalnum() else char)
        else:
            out.append(char)
    return "".join(out)


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


def _is_unread(char: str, kind: str, last: list[str]) -> bool:
    """Return whether ``char`` of the category ``kind`` is none that is read, after ``last``."""
    if kind in ("Mn", "Me"):
        return not last or last[0].isascii() or unicodedata.name(last[0][0], "").startswith(_LATIN)
    return kind in ("Cf", "Co", "Cs") or char == "\ufffd" or (kind == "Cc" and not char.isspace())


def _is_greek(char: str) -> bool:
    return unicodedata.name(char, "").startswith("GREEK ")


def _is_read_in_chinese(text: str) -> bool:
    """Return whether a Chinese voice reads the numbers in ``text`` in Chinese."""
    return any(map(_is_chinese, text)) or not any(map(str.isalpha, text))


def _is_chinese(char: str) -> bool:
    return unicodedata.name(char, "").startswith("CJK UNIFIED ")
