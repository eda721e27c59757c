"""Recognise stage directions such as ``*smiles*``, ``(laughs softly)`` and ``[sighs]``."""

from __future__ import annotations

import re

_VERBS = [
    *("beam", "blink", "blush", "breathe", "chuckle", "clap", "clear", "cough", "cry"),
    *("exhale", "frown", "gasp", "gesture", "giggle", "grin", "groan", "gulp", "hesitate"),
    *("hum", "inhale", "laugh", "mumble", "murmur", "mutter", "nod", "pause", "shrug"),
    *("sigh", "sing", "smile", "smirk", "snicker", "sniff", "snort", "sob", "swallow"),
    *("whisper", "wince", "wink", "yawn"),
]
_GESTURES = [
    *("bow", "cheer", "lean", "look", "raise", "scratch", "shake", "stretch", "take"),
    *("think", "tilt", "wave"),
]


def _third_person(verbs: list[str]) -> list[str]:
    return [f"{verb[:-1]}ies" if verb == "cry" else f"{verb}(?:e?s)" for verb in verbs]


def _participle(verbs: list[str]) -> list[str]:
    return [f"{stem}{stem[-1]}?ing" for stem in (verb.removesuffix("e") for verb in verbs)]


_ACTION = (
    r"(?:(?:\w+ly|long|short|soft|deep) )?"
    rf"(?:{'|'.join(_third_person(_VERBS + _GESTURES) + _participle(_VERBS))})"
    r"(?: [A-Za-z',]+){0,4}[.!]?"
)
_NOISE = (
    r"(?:(?:short|long|brief|soft|light|nervous|dramatic|awkward|a) )*"
    r"(?:laughter|laughs?|applause|silence|pause|beat|sigh|music|breath|chuckle|"
    r"(?:in|with) an? [a-z ]{1,30}(?:tone|voice|accent|smile|whisper|laugh|grin|sigh))"
)
_KNOWN = re.compile(
    rf"\*(?:{_ACTION}|{_NOISE})\*(?!\*)|\((?:{_ACTION}|{_NOISE})\)|"
    rf"\[(?:{_ACTION}|{_NOISE}(?: playing)?)\](?!\()|<(?:{'|'.join(_VERBS)})(?:e?s|ing)?\s*/?>",
    re.IGNORECASE,
)
_KNOWN_ALONE = re.compile(
    rf"(\*\*|__?|~~?)(?:{_ACTION}|{_NOISE})\1(?=\s*(?:\Z|[A-Z\"“*]))", re.IGNORECASE
)
_ALONE = re.compile(r"\*[a-z]+(?:s|ing|ly)\b[^*\n.]{0,70}(?<!\s)\*(?=\s*(?:\n|$|[A-Z\"“*]))")
"""A sentence of its own in asterisks, about what somebody does."""
_TONE = re.compile(r"\[[a-z]+(?: [a-z]+){0,2}\](?!\()(?=\s*(?:\n|$|[A-Z\"“]))")
"""The tone of what follows, as voices with emotions want it."""
_AFTER_SENTENCE = re.compile(r"[.!?…\n\"”:]\s*$")
_AFTER_SUBJECT = re.compile(r"\b(?:he|she|it|who|that|they|one|everyone|nobody) $", re.IGNORECASE)
_BEGUN = re.compile(
    r"(?:[*_~]{1,2}|[(\[])(?:[A-Za-z][A-Za-z',. !]{0,70})?|"
    r"(?:[*_~]{1,2}[A-Za-z][A-Za-z',. !]{0,70}[*_~]{1,2}|\[[A-Za-z' ]*\]|\([A-Za-z' ]*\))\s*"
)


def stage_direction(text: str, before: str) -> int:
    """Return the length of the stage direction that ``text`` begins with, after ``before``."""
    alone = bool(_AFTER_SENTENCE.search(before))
    if alone and (match := _ALONE.match(text) or _KNOWN_ALONE.match(text) or _TONE.match(text)):
        return match.end()
    match = _KNOWN.match(text)
    if match is None or before.endswith("*") or text[match.end() :].startswith("*"):
        return 0
    if text[0] == "*" and (
        _AFTER_SUBJECT.search(before) or (alone and re.match(r"\s+[a-z]", text[match.end() :]))
    ):
        return 0  # emphasis: "He *laughs* at it", "*Smiles* are free"
    return match.end()


def may_become_one(text: str, before: str) -> bool:
    """Return whether ``text`` may go on as a stage direction."""
    return not before.endswith(("*", "_", "~")) and bool(_BEGUN.fullmatch(text))
