"""Dividing a text that is still being written into clauses that can be spoken one by one."""

from __future__ import annotations

import re

_END = re.compile(r"""[.!?…]+["'”’)\]*_]*(?=\s)|\n""")
_PAUSE = re.compile(r"""[,;:—–]["'”’)\]*_]*(?=\s)""")
_SPACE = re.compile(r"\s+")
_ABBREVIATION = re.compile(
    r"(?:^|[\s(\"“'])(?:Mr|Mrs|Ms|Dr|Prof|St|Jr|Sr|Mt|vs|etc|e\.g|i\.e|approx|No|Fig|[A-Z]|\d{1,2})\.$"
)

FIRST_MIN = 12
NEXT_MIN = 30
LONG = 160
"""Characters: the shortest first clause, the shortest of the others, and from where on a sentence
is divided at its commas. Shorter sentences are joined to what follows."""


class ClauseSplitter:
    """Feed it the text as it comes; the clauses joined are the text, to the last character.

    The first clause is cut as early as sounds natural, at a comma if need be, because someone is
    waiting for it. The later ones are whole sentences, unless those are very long.
    """

    def __init__(self) -> None:
        self._text = ""
        self._first = True

    def feed(self, delta: str) -> list[str]:
        """Take in more text; return the clauses that are complete now."""
        self._text += delta
        clauses = []
        while cut := self._cut():
            clauses.append(self._text[:cut])
            self._text = self._text[cut:]
            self._first = False
        return clauses

    def flush(self) -> list[str]:
        """The text is over; return what is left of it."""
        rest, self._text, self._first = self._text, "", True
        return [rest] if rest else []

    def _cut(self) -> int:
        """Where the first clause ends (with the white space after it); 0 when it may go on."""
        least = FIRST_MIN if self._first else NEXT_MIN
        for match in _END.finditer(self._text):
            if cut := self._boundary(match, least, sentence=True):
                return cut
        if self._first or len(self._text) > LONG:
            for match in _PAUSE.finditer(self._text):
                if cut := self._boundary(match, least, sentence=False):
                    return cut
        if len(self._text) > 2 * LONG and (space := self._text.rfind(" ", LONG, 2 * LONG)) > 0:
            return space + 1
        return 0

    def _boundary(self, match: re.Match[str], least: int, *, sentence: bool) -> int:
        # What follows the white space decides, so wait until it has come.
        space = _SPACE.match(self._text, match.end() - (match.group() == "\n"))
        if space is None or space.end() == len(self._text):
            return 0
        head = self._text[: match.end()].strip()
        if len(head) < least:
            return 0
        if not sentence or match.group() == "\n":
            return space.end()
        goes_on = self._text[space.end()].islower() or _ABBREVIATION.search(head)
        return 0 if goes_on else space.end()


_MARKDOWN = (
    (re.compile(r"```[a-zA-Z]*\n?|`"), ""),
    (re.compile(r"!?\[([^\]]*)\]\([^)]*\)"), r"\1"),
    (re.compile(r"^\s*(?:#{1,6}|[-*+•>])\s+", re.MULTILINE), ""),
    (re.compile(r"\*+|(?<!\w)_+|_+(?!\w)|~~"), ""),
    (re.compile(r"https?://\S+"), "a link"),
)
_UNSPEAKABLE = re.compile(
    "[\U0001f000-\U0001faff\u2190-\u21ff\u2300-\u23ff\u2500-\u27bf\u2b00-\u2bff\ufe0e\ufe0f\u200d|\\\\<>{}]"
)
_SOUND = re.compile(r"\w")


def speakable(text: str) -> str:
    """``text`` without markdown, emoji and other marks that are not said; empty if nothing is."""
    for pattern, replacement in _MARKDOWN:
        text = pattern.sub(replacement, text)
    text = _SPACE.sub(" ", _UNSPEAKABLE.sub(" ", text)).strip()
    return text if _SOUND.search(text) else ""
