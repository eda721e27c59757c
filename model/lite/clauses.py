"""Split a text that is still being written into clauses to be spoken one by one."""

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
"""Shortest first clause, shortest later one, and longest clause, in characters.

Shorter sentences are joined to the next; longer ones are split at a comma or a space."""


class ClauseSplitter:
    """Splits a stream of text into clauses that, joined, are exactly the text.

    The first clause ends as early as sounds natural, even at a comma, because the user waits for
    it. Later ones are whole sentences unless those are very long.
    """

    def __init__(self) -> None:
        self._text = ""
        self._first = True

    def feed(self, delta: str) -> list[str]:
        """Take in more text and return the clauses that are complete."""
        self._text += delta
        clauses = []
        while cut := self._cut():
            clauses.append(self._text[:cut])
            self._text = self._text[cut:]
            self._first = False
        return clauses

    def flush(self) -> list[str]:
        """End the text and return its rest."""
        rest, self._text, self._first = self._text, "", True
        return [rest] if rest else []

    def _cut(self) -> int:
        """Return the end of the first clause, with its white space, or 0 if it may go on.

        Only positions decide, so it does not matter in which pieces the text arrives.
        """
        cuts = self._boundaries(_END)
        if self._first:
            cuts = sorted(cuts + self._boundaries(_PAUSE))
        if cuts and cuts[0] <= LONG:
            return cuts[0]
        if len(self._text) <= LONG:
            return 0
        spaces = [m.end() for m in _SPACE.finditer(self._text) if m.end() < len(self._text)]
        for candidates in (self._boundaries(_PAUSE), spaces):
            if near := [cut for cut in candidates if cut <= LONG]:
                return near[-1]
        return spaces[0] if spaces else 0

    def _boundaries(self, pattern: re.Pattern[str]) -> list[int]:
        least = FIRST_MIN if self._first else NEXT_MIN
        cuts = (
            self._boundary(match, least, sentence=pattern is _END)
            for match in pattern.finditer(self._text)
        )
        return [cut for cut in cuts if cut]

    def _boundary(self, match: re.Match[str], least: int, *, sentence: bool) -> int:
        # The character after the white space decides, so wait for it.
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
    """Return ``text`` without markdown, emoji and other unspoken marks."""
    for pattern, replacement in _MARKDOWN:
        text = pattern.sub(replacement, text)
    text = _SPACE.sub(" ", _UNSPEAKABLE.sub(" ", text)).strip()
    return text if _SOUND.search(text) else ""
