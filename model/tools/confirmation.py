"""Tell whether the user says yes to a tool with effects. What is unclear is no yes."""

from __future__ import annotations

import re

_YES = frozenset(
    {
        *("yes", "yeah", "yep", "yup", "sure", "ok", "okay", "absolutely", "definitely"),
        *("certainly", "affirmative"),
        *("好", "好的", "好啊", "是", "是的", "对", "对的", "可以", "行", "行啊", "没问题", "当然"),
        *("ja", "klar", "gerne", "oui", "sí", "si", "claro"),
    }
)
_PHRASES = frozenset({"go ahead", "do it", "please do", "of course", "do that", "go for it"})
_BESIDE = frozenset(
    {
        *("please", "do", "it", "that", "go", "ahead", "of", "course", "for", "now", "thanks"),
        *("thank", "you", "um", "uh", "well", "covo", "bitte", "por", "favor", "gracias"),
        *("请", "谢谢"),
    }
)
_WORD = re.compile(r"[^\W_]+(?:['’][^\W_]+)*")


def says_yes(text: str) -> bool:
    """Return whether ``text`` agrees and says nothing else."""
    words = _WORD.findall(text.lower())
    agrees = not _YES.isdisjoint(words) or " ".join(words).removesuffix(" please") in _PHRASES
    return agrees and all(word in _YES | _BESIDE for word in words)
