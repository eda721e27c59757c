"""The languages that Whisper recognises, and which of them is being spoken."""

from __future__ import annotations

from collections.abc import Mapping

AUTO = "auto"
"""The setting that leaves it to the recogniser to tell the language."""

_NAMES = """
af:Afrikaans am:Amharic ar:Arabic as:Assamese az:Azerbaijani ba:Bashkir be:Belarusian
bg:Bulgarian bn:Bengali bo:Tibetan br:Breton bs:Bosnian ca:Catalan cs:Czech cy:Welsh
da:Danish de:German el:Greek en:English es:Spanish et:Estonian eu:Basque fa:Persian
fi:Finnish fo:Faroese fr:French gl:Galician gu:Gujarati ha:Hausa haw:Hawaiian he:Hebrew
hi:Hindi hr:Croatian ht:Haitian_Creole hu:Hungarian hy:Armenian id:Indonesian is:Icelandic
it:Italian ja:Japanese jw:Javanese ka:Georgian kk:Kazakh km:Khmer kn:Kannada ko:Korean
la:Latin lb:Luxembourgish ln:Lingala lo:Lao lt:Lithuanian lv:Latvian mg:Malagasy mi:Maori
mk:Macedonian ml:Malayalam mn:Mongolian mr:Marathi ms:Malay mt:Maltese my:Burmese ne:Nepali
nl:Dutch nn:Nynorsk no:Norwegian oc:Occitan pa:Punjabi pl:Polish ps:Pashto pt:Portuguese
ro:Romanian ru:Russian sa:Sanskrit sd:Sindhi si:Sinhala sk:Slovak sl:Slovenian sn:Shona
so:Somali sq:Albanian sr:Serbian su:Sundanese sv:Swedish sw:Swahili ta:Tamil te:Telugu
tg:Tajik th:Thai tk:Turkmen tl:Tagalog tr:Turkish tt:Tatar uk:Ukrainian ur:Urdu uz:Uzbek
vi:Vietnamese yi:Yiddish yo:Yoruba zh:Chinese
"""

LANGUAGES: Mapping[str, str] = {
    code: name.replace("_", " ") for code, name in (entry.split(":") for entry in _NAMES.split())
}
"""Names by Whisper's code."""

WITHOUT_SPACES = frozenset({"ja", "km", "lo", "my", "th", "zh"})

UNSPACED = "\u0e00-\u0eff\u1000-\u109f\u1780-\u17ff\u3040-\u30ff\u3400-\u9fff\uf900-\ufaff"
"""Characters of their scripts, for a pattern: Thai, Lao, Burmese, Khmer, kana, Han."""

SURE, SURE_OF_ANOTHER = 0.6, 0.9
"""Probability from which the detected language is believed, and one that was not heard before.

Whisper base gave synthetic English sentences 0.92 or more, but short sounds ("yeah", "mm-hmm") up
to 0.47 for languages from Hindi to Polish, and one sentence 0.81 for Welsh in white noise at 3 dB.
"""

ANOTHER_S = 1.5
"""Least recording, in seconds, in which to believe a language that was not heard before: a Chinese
"嗯" of 0.4 s was Korean with more than 0.9.
"""

EXPECTED = frozenset({"en", "zh"})
"""What is taken for heard until a language is: those in which the end of a turn is judged by its
words."""


def language_name(code: str) -> str:
    """Return the English name of the language ``code``, or the code if it is unknown."""
    return LANGUAGES.get(code, code)


class SpokenLanguages:
    """The languages of one conversation.

    Threads may share it: two that note a language at once lose one, until it is heard again.
    """

    def __init__(self) -> None:
        self._heard: frozenset[str] = frozenset()

    def choose(self, probabilities: Mapping[str, float], length: float) -> str:
        """Return the language of an utterance of ``length`` seconds, given the detector's
        ``probabilities`` by code.

        Where none is sure, as in a hum, it is the likeliest of those heard so far.
        """
        heard = self._heard or EXPECTED
        best = max(probabilities, key=lambda code: probabilities[code])
        another = length >= ANOTHER_S and probabilities[best] >= SURE_OF_ANOTHER
        if another or (best in heard and probabilities[best] >= SURE):
            return best
        return max(sorted(heard), key=lambda code: probabilities.get(code, 0.0))

    def hear(self, language: str, probability: float) -> None:
        """Note the chosen ``language`` of an utterance in which words were recognised."""
        if probability >= SURE:
            self._heard |= {language}
