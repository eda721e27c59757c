"""Spanish numbers in words, by the rules of Unicode CLDR in the optional package unicode-rbnf."""

from __future__ import annotations

import re
from enum import StrEnum
from functools import cache
from typing import Any

_LONGEST = 15
"""Digits of the largest number that is read as an amount."""
_DIGITS = ("cero", "uno", "dos", "tres", "cuatro", "cinco", "seis", "siete", "ocho", "nueve")
_MARKS = {",": "coma", ".": "punto"}
_PARTS = {2: "medio", 3: "tercio"}
_PLAIN = str.maketrans("éó", "eo")
NUMBER = r"\d+(?:[.,]\d+)?"
"""A number without separators of thousands."""

_NOUN = re.compile(r"\s+(?:mil\s+)?([a-záéíóúüñ]+)")
_FUNCTION_WORDS = """
a al ante antes apenas así aún bajo como con cuando de del desde después donde e el ella en entonces
entre es era está están fue ha hasta hay la las le les lo los más me menos mi mientras mis ni no nos
o para pero por porque pues que quizás se según ser si sin sino sobre son su sus también te tiene
todos todas tras tu tus u una unas unos un vamos y ya además jamás
"""
_NO_NOUNS = frozenset(_FUNCTION_WORDS.split())
"""Words that are counted by no number before them."""
_MASCULINE = re.compile(
    r"(?:dí|map|planet|comet|pijam|clim|enigm|fantasm|poet|(?:probl|sist|poem|esqu|dil|teor|embl)em|"
    r"tem|lem|(?:pro|dia|tele)gram|dram|panoram|diplom|idiom|arom|síntom|tranví|kilogram)as?"
)
_FEMININE = re.compile(
    r".*(?:as?|[cs]i[oó]n(?:es)?|[dt]ad(?:es)?|tud(?:es)?|umbres?|triz|trices)|(?:noche|tarde|parte|"
    r"mano|foto|calle|clase|llave|clave|nave|serie|especie|superficie|torre|nube|fase|frase|base|madre|"
    r"fuente|mente|muerte|leche|carne|sangre|gente|moto)s?|ve(?:z|ces)|lu(?:z|ces)|"
    r"(?:mujer|flor|ley|red|pared)(?:es)?|im[aá]gen(?:es)?"
)
_BEFORE = re.compile(r"\b(?:[Ee]l|[Dd]el|[Aa]l|día|número|año)\s$")
"""Words after which a number counts nothing."""
_ENDS = re.compile(r"\b[Ee]ntre (?:[a-z]{2,4} )?[\d:.,h]*$")
"""What comes before the first end of a range, or stands there with it."""


class CountForm(StrEnum):
    """What a number counts, which changes its ending: the values are CLDR's names."""

    NOTHING = "spellout-numbering"
    MASCULINE = "spellout-cardinal-masculine"
    FEMININE = "spellout-cardinal-feminine"


@cache
def _rules() -> Any:
    from unicode_rbnf import RbnfEngine

    return RbnfEngine.for_language("es")


def _read(number: int, rules: str) -> str:
    return str(_rules().format_number(number, ruleset_names=[rules]).text)


def cardinal(digits: str, form: CountForm = CountForm.NOTHING) -> str:
    """Return the whole number ``digits`` in words, one by one where there are too many."""
    return _read(int(digits), form) if len(digits) <= _LONGEST else spelled(digits)


def ordinal(number: int, *, feminine: bool = False, before_noun: bool = False) -> str:
    """Return "primero" for 1, "primera" if ``feminine``, "primer" if ``before_noun``."""
    gender = "feminine" if feminine else "masculine"
    short = before_noun and not feminine and number % 10 in (1, 3)
    return _read(number, f"spellout-ordinal-{gender}" + ("-adjective" if short else ""))


def spelled(digits: str) -> str:
    """Return ``digits`` read one by one."""
    return " ".join(_DIGITS[int(digit)] for digit in digits)


def number(text: str, form: CountForm = CountForm.NOTHING) -> str:
    """Return a :data:`NUMBER` in words; decimals are a number, too, if there are few."""
    whole, mark, decimals = re.fullmatch(r"(\d+)(?:([.,])(\d+))?", text).groups()  # type: ignore[union-attr]
    if not mark:
        return spelled(whole) if len(whole) > 1 and whole[0] == "0" else cardinal(whole, form)
    rest = decimals.lstrip("0")
    zeros = " ".join(["cero"] * (len(decimals) - len(rest)))
    read = spelled(rest) if len(rest) > 3 else cardinal(rest) if rest else ""
    return " ".join(filter(None, (cardinal(whole), _MARKS[mark], zeros, read)))


def form_for(noun: str, digits: str = "2") -> CountForm:
    """Return the form of the number ``digits`` before the word ``noun``.

    More than one are counted by a plural only, so that not every word after a number is a noun.
    """
    if noun in _NO_NOUNS or not (digits == "1" or noun.endswith("s") or noun in ("mil", "millón")):
        return CountForm.NOTHING
    if _FEMININE.fullmatch(noun) and not _MASCULINE.fullmatch(noun):
        return CountForm.FEMININE
    return CountForm.MASCULINE


def form_between(before: str, digits: str, after: str) -> CountForm:
    """Return the form of the number ``digits`` in a text."""
    noun = _NOUN.match(after)
    if noun is None or _BEFORE.search(before):
        return CountForm.NOTHING
    return form_for(noun[1], digits)


def between(before: str) -> str:
    """Return what joins the ends of a range after the text ``before``."""
    return "y" if _ENDS.search(before) else "a"


def fraction(above: str, below: str) -> str:
    """Return "tres cuartos" for 3 and 4."""
    part = int(below)
    if part in _PARTS or 4 <= part <= 10:
        name = _PARTS.get(part) or ordinal(part)
    elif part < 100:
        words = cardinal(below).replace(" y ", "i").translate(_PLAIN)
        name = f"{words.removesuffix('a')}avo"
    else:
        name = ordinal(part)
    read = cardinal(above, CountForm.MASCULINE)
    return f"{read} {name}" if above == "1" else f"{read} {name}s"
