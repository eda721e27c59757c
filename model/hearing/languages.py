"""The languages that Whisper recognises, and which of them is being spoken."""

from __future__ import annotations

import threading
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

SURE = 0.6
"""Probability from which a detected language is believed. Whisper base gave synthetic English
sentences 0.92 or more, but "yeah", "mm-hmm" and "stop" up to 0.47 for languages from Hindi to
Polish."""

FIRST_CLASS = ("en", "zh")


def language_name(code: str) -> str:
    """Return the English name of the language ``code``, or the code if it is unknown."""
    return LANGUAGES.get(code, code)


class SpokenLanguages:
    """The languages of one conversation. Thread-safe."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._heard: set[str] = set()

    def choose(self, probabilities: Mapping[str, float]) -> str:
        """Return the language of one utterance, given the detector's ``probabilities`` by code.

        Where none is sure, as in a hum, it is the likeliest of those surely heard so far, or at
        first of English and Chinese.
        """
        if sure := _sure(probabilities):
            return sure
        with self._lock:
            among = sorted(self._heard) or FIRST_CLASS
        return max(among, key=lambda code: probabilities.get(code, 0.0))

    def hear(self, probabilities: Mapping[str, float]) -> None:
        """Note the language of an utterance in which words were recognised, if it is sure."""
        if sure := _sure(probabilities):
            with self._lock:
                self._heard.add(sure)


def _sure(probabilities: Mapping[str, float]) -> str:
    """Return the language that is sure, empty if none is."""
    best = max(probabilities, key=lambda code: probabilities[code])
    return best if probabilities[best] >= SURE else ""
