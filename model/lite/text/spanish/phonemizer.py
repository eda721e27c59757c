"""Convert Spanish text to Kokoro's phonemes with the rules of the optional package piper-plus-g2p.

The package reads one word, as it is said in Latin America: c before e and z are s. Kokoro learnt a
narrower transcription, with diphthongs of one sound and consonants that change beside others; the
rules here lead from one to the other. Words of other languages are read as if they were Spanish.
"""

from __future__ import annotations

import logging
import re
import unicodedata
from collections.abc import Iterable
from functools import cache
from importlib.util import find_spec
from typing import Any

from model.errors import SynthesizerError
from model.lite.failures import raised_as
from model.lite.text.phonemes import Phonemizer
from model.lite.text.quantities import Rule
from voices.installation import add_extra

_PACKAGES = {"piper_plus_g2p": "piper-plus-g2p", "unicode_rbnf": "unicode-rbnf"}
_SOUNDS = {"rr": "r", "tʃ": "ʧ"}
_GLIDES = {"i": "j", "u": "w"}
_IN_A_WORD: tuple[Rule, ...] = (
    (r"^ks", "s"),
    # The package puts no stress on one syllable that two consonants begin.
    (r"^([ptkbdɡf][lɾ])(?=[aeiou][^aeiouˈ]*$)", r"\1ˈ"),
    (r"(?<![ptkbβdðɡɣf][lɾ])(?<![aeoˈ])([iu])(?=ˈ?[aeiou])(?!\1)", lambda m: _GLIDES[m[1]]),
    (r"ai", "I"),
    (r"ei", "A"),
    (r"au", "W"),
    (r"eu", "eʊ"),
    (r"oi", "oɪ"),
)
_BETWEEN_WORDS: tuple[Rule, ...] = (
    (r"n(?= ?ˈ?[pbm])", "m"),
    (r"n(?= ?ˈ?[xɡɣ])", "ŋ"),
    (r"(?<=[aeiouAIWs] )b|(?<=[aeiouAIWs] ˈ)b|(?<=l)b", "β"),
    (r"(?<=[aeiouAIWs] )d|(?<=[aeiouAIWs] ˈ)d", "ð"),
    (r"(?<=[aeiouAIWs] )ɡ|(?<=[aeiouAIWs] ˈ)ɡ", "ɣ"),
)
_HIATUS = re.compile("[íú]")
_WORD = re.compile(r"[^\W\d_]+")
_SPANISH = "áéíóúüñ"
_FOREIGN = str.maketrans(
    {"ß": "ss", "ø": "o", "œ": "e", "æ": "e", "ł": "l", "đ": "d", "ı": "i", "ç": "s"}
)
_X_AS_J = re.compile(r"(?<=\bm[eé])x(?=ic)|(?<=\boa)x(?=ac)|(?<=\bte)x(?=as|an)")
"""The x of México, Oaxaca and Texas."""


def check_spanish(voice: str) -> None:
    """Check that a Spanish ``voice`` can speak. Raises: SynthesizerError with the remedy."""
    missing = [name for module, name in _PACKAGES.items() if find_spec(module) is None]
    if missing:
        raise SynthesizerError(
            f"the voice {voice} speaks Spanish, which needs {' and '.join(missing)}: "
            f"{add_extra('spanish')}"
        )


class SpanishPhonemizer(Phonemizer):
    """Converts Spanish text."""

    language = "es"
    languages = ("es",)

    def _phonemes(self, text: str) -> tuple[str, list[str]]:
        lost: list[str] = []

        def read(match: re.Match[str]) -> str:
            word = _X_AS_J.sub("j", _spelling(match.group()))
            sounds = _rules().phonemize(word)
            lost.extend([] if sounds else [match.group()])
            said = "".join(_SOUNDS.get(sound, sound) for sound in sounds)
            if not _HIATUS.search(word):
                said = re.sub("ˈ([iu])(?=[aeiou])", r"\1ˈ", said)
            return _changed(said, _IN_A_WORD)

        with raised_as(SynthesizerError, f"cannot pronounce {text!r}"):
            phonemes = _WORD.sub(read, re.sub("[¿¡]", "", text))
        return _changed(phonemes.strip(), _BETWEEN_WORDS), lost


def _changed(phonemes: str, rules: Iterable[Rule]) -> str:
    for pattern, sounds in rules:
        phonemes = re.sub(pattern, sounds, phonemes)
    return phonemes


def _spelling(word: str) -> str:
    """Return ``word`` without the letters and accents that Spanish has not."""
    plain = word.lower().translate(_FOREIGN)
    return "".join(c if c in _SPANISH else unicodedata.normalize("NFD", c)[0] for c in plain)


@cache
def _rules() -> Any:
    # It warns of each language whose package is missing.
    logging.getLogger("piper_plus_g2p").setLevel(logging.ERROR)
    from piper_plus_g2p.spanish import SpanishPhonemizer as Rules

    return Rules()
