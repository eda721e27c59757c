"""Convert Chinese text to Kokoro's phonemes, by way of pinyin.

Kokoro learnt Mandarin from pinyin in IPA symbols, with the tone of each syllable as an arrow after
its vowel and without tone sandhi. Pinyin comes from the optional package pypinyin, whose dictionary
of phrases tells which of its readings a character has. Latin words take their English phonemes.
"""

from __future__ import annotations

import itertools
import re
from collections.abc import Iterator
from functools import cache
from importlib.util import find_spec

from model.errors import SynthesizerError
from model.lite.failures import raised_as
from model.lite.text.phonemes import Phonemizer
from voices.installation import add_extra

_INITIALS = {
    **{letter: letter for letter in "fhlmns"},
    **{"b": "p", "p": "pʰ", "d": "t", "t": "tʰ", "g": "k", "k": "kʰ", "h": "x", "r": "ɻ"},
    **{"j": "ʨ", "q": "ʨʰ", "x": "ɕ", "z": "ʦ", "c": "ʦʰ", "zh": "ꭧ", "ch": "ꭧʰ", "sh": "ʂ"},
}
_VOWELS = {
    **{"a": "a", "ai": "ai", "ao": "au", "e": "ɤ", "ei": "ei", "o": "wo", "ou": "ou"},
    **{"i": "i", "ia": "ja", "iao": "jau", "ie": "je", "iou": "jou", "u": "u", "ua": "wa"},
    **{"uai": "wai", "uei": "wei", "uo": "wo", "v": "y", "ve": "ɥe", "er": "ɚ"},
}
_NASALS = {
    **{"an": "an", "en": "ən", "ang": "aŋ", "eng": "əŋ", "ong": "ʊŋ", "in": "in", "ing": "iŋ"},
    **{"ian": "jɛn", "iang": "jaŋ", "iong": "jʊŋ", "uan": "wan", "uen": "wən", "uang": "waŋ"},
    **{"ueng": "wəŋ", "van": "ɥɛn", "vn": "yn"},
}
_INTERJECTIONS = {"m": "m", "n": "n", "ng": "ŋ", "hm": "hm", "hng": "hŋ", "o": "ɔ", "ê": "ɛ"}
_BUZZING = {"zh", "ch", "sh", "r", "z", "c", "s"}
"""Initials after which an i is a vowel of its own."""
_TONES = {"1": "→", "2": "↗", "3": "↓", "4": "↘", "5": ""}

_CLOSING = (",", ".", ";", ":", "!", "?", "…", "—", ")", "”")
_HAN = re.compile(r"[\u3007\u3400-\u4dbf\u4e00-\u9fff]+")


def check_pinyin(voice: str) -> None:
    """Check that a Chinese ``voice`` can speak. Raises: SynthesizerError with the remedy."""
    if find_spec("pypinyin") is None:
        raise SynthesizerError(
            f"the voice {voice} speaks Chinese, which needs pypinyin: {add_extra('chinese')}"
        )


class MandarinPhonemizer(Phonemizer):
    """Converts Chinese text, and the Latin words in it."""

    language = "zh"
    languages = ("zh", "en")

    def _phonemes(self, text: str) -> tuple[str, list[str]]:
        written, lost = "", []
        for run in _runs(text):
            read = _read if _HAN.match(run) else super()._phonemes
            phonemes, unknown = read(run)
            lost += unknown
            written += phonemes if phonemes.startswith(_CLOSING) else f" {phonemes}"
        return " ".join(written.split()), lost


@cache
def syllable(pinyin: str) -> str:
    """Return the phonemes of one syllable such as ``zhong1``, empty for anything else.

    A tone of 5 or none is the neutral one.
    """
    from pypinyin.contrib.tone_convert import to_finals, to_initials

    plain, tone = pinyin.rstrip("12345"), pinyin[-1:]
    arrow = _TONES.get(tone, "")
    if plain in _INTERJECTIONS:
        vowel = _INTERJECTIONS[plain]
        return vowel + arrow
    initial, final = to_initials(plain), to_finals(plain)
    if initial and initial not in _INITIALS:
        return ""
    if final == "i" and initial in _BUZZING:
        return f"{_INITIALS[initial]}ɨ{arrow}"
    begin = _INITIALS.get(initial, "")
    if final in _VOWELS:
        return begin + _VOWELS[final] + arrow
    if final in _NASALS:
        nasal = _NASALS[final]
        return begin + nasal[:-1] + arrow + nasal[-1]
    return ""


def _runs(text: str) -> Iterator[str]:
    return ("".join(run) for _, run in itertools.groupby(text, lambda c: bool(_HAN.match(c))))


def _read(text: str) -> tuple[str, list[str]]:
    """Return the phonemes of Chinese characters, and those characters that have none."""
    from pypinyin import Style, lazy_pinyin

    with raised_as(SynthesizerError, f"cannot pronounce {text!r}"):
        read = lazy_pinyin(text, style=Style.TONE3, neutral_tone_with_five=True)
        syllables = [syllable(pinyin) for pinyin in read]
    # pypinyin writes the neutral tone after a character that it does not know, too.
    lost = [py.rstrip("5") for py, sounds in zip(read, syllables, strict=True) if not sounds]
    return " ".join(filter(None, syllables)), lost
