"""Split a text that is still being written into clauses to be spoken one by one."""

from __future__ import annotations

import re

from model.lite.text.markup import CODE_SPAN, first_block, margin, may_open

_END = re.compile(r"""[.!?…]+["'”’)\]*_]*(?=\s)|[。！？]+["'”’」』）)*_]*|\n""")
_PAUSE = re.compile(r"""[,;:—–]["'”’)\]*_]*(?=\s)|[，；：]["'”’」』）)*_]*""")
_SPACE = re.compile(r"\s+")
_EAST_ASIAN = re.compile(r"[\u3000-\u303f\u3400-\u4dbf\u4e00-\u9fff\uff00-\uff65]")
_LETTERS_EACH = 3
"""Letters that take as long to say as one Chinese character."""
_MARKUP = re.compile(
    rf"!?\[[^\[\]]*(?:\]\((?:[^()]|\([^()]*\)?)*(?:\)|\Z)|\](?!\()|\Z)|{CODE_SPAN}|"
    r"</?[A-Za-z][^<>]*(?:>|\Z)|<!--(?:(?!-->).)*(?:-->|\Z)|\\\((?:(?!\\\)).)*(?:\\\)|\Z)",
    re.DOTALL,
)
"""A link, code, a tag, a comment or a formula in a line, whole or still being written."""
_LONGEST_MARKUP = 300
_ABBREVIATION = re.compile(
    r"(?:^|[\s(\"“'])(?:Mr|Mrs|Ms|Dr|Prof|St|Jr|Sr|Mt|vs|etc|e\.g|i\.e|approx|No|Fig|"
    r"Sra|Srta|Sres|Dra|Lic|Ing|Uds?|Vds?|EE|JJ|RR|[Aa]v|[Aa]vda|pág|núm|aprox|p|[A-Z]|[ad]|\d{1,2})\.$"
)

FIRST_MIN = 12
NEXT_MIN = 30
LONG = 160
"""Shortest first clause, shortest later one, and longest clause, in letters.

Shorter sentences are joined to the next; longer ones are split at a comma or a space."""


class ClauseSplitter:
    """Splits a stream of text into clauses that, joined, are exactly the text.

    The first clause ends as early as sounds natural, even at a comma, because the user waits for
    it. Later ones are whole sentences unless those are very long. A block of code, a table or a
    formula is a clause of its own, and no link or tag is divided.
    """

    def __init__(self) -> None:
        self._text = ""
        self._first = True
        self._before = "\n"

    def feed(self, delta: str) -> list[str]:
        """Take in more text and return the clauses that are complete.

        Each character is judged in its turn, so it does not matter in which pieces they arrive.
        """
        clauses = []
        for char in delta:
            within_a_word = char.isalnum() and self._text[-1:].isalnum()
            self._text += char
            while not within_a_word and (cut := self._cut()):
                clauses.append(self._text[:cut])
                self._text = self._text[cut:]
                self._first, self._before = False, margin(self._before + clauses[-1])
        return clauses

    def flush(self) -> list[str]:
        """End the text and return its rest."""
        rest, self._text = self._text, ""
        clauses: list[str] = []
        while rest:
            block = first_block(rest, over=True, before=self._before)
            if block is not None and not block.start:
                end = block.end or len(rest)
            else:
                # Whole clauses may have waited for a block that never came.
                prose = rest[: block.start] if block else rest
                end = self._cut_prose(prose) or len(prose)
            clauses.append(rest[:end])
            rest = rest[end:]
            self._first, self._before = False, margin(self._before + clauses[-1])
        self._first, self._before = True, "\n"
        return clauses

    def _cut(self) -> int:
        """Return the end of the first clause, with its white space, or 0 if it may go on."""
        block = first_block(self._text, before=self._before)
        if block is not None and block.start:
            return self._cut_prose(self._text[: block.start]) or block.start
        if block is not None:
            return block.end or 0
        if may_open(self._text, before=self._before):
            return 0
        return self._cut_prose(self._text)

    def _cut_prose(self, text: str) -> int:
        cuts = self._boundaries(_END, text)
        if self._first:
            cuts = sorted(cuts + self._boundaries(_PAUSE, text))
        if cuts and letters(text[: cuts[0]]) <= LONG:
            return cuts[0]
        if letters(text) <= LONG:
            return 0
        whole = _undivided(text)
        spaces = [m.end() for m in _SPACE.finditer(text) if m.end() < len(text)]
        spaces = [cut for cut in spaces if not _within(cut, whole)]
        for candidates in (self._boundaries(_PAUSE, text), spaces):
            if near := [cut for cut in candidates if letters(text[:cut]) <= LONG]:
                return near[-1]
        return spaces[0] if spaces else 0

    def _boundaries(self, pattern: re.Pattern[str], text: str) -> list[int]:
        matches = list(pattern.finditer(text))
        if not matches:
            return []
        whole = _undivided(text)
        cuts = [self._boundary(match, text, sentence=pattern is _END) for match in matches]
        return [cut for cut in cuts if cut and not _within(cut, whole)]

    def _boundary(self, match: re.Match[str], text: str, *, sentence: bool) -> int:
        # The character after the white space decides, so wait for it.
        space = _SPACE.match(text, match.end() - (match.group() == "\n"))
        spaceless = _EAST_ASIAN.match(match.group()) is not None
        end = space.end() if space else match.end()
        if not (space or spaceless) or end == len(text):
            return 0
        head = text[: match.end()].strip()
        if letters(head) < (FIRST_MIN if self._first else NEXT_MIN):
            return 0
        if not sentence or spaceless or match.group() == "\n":
            return end
        goes_on = text[end].islower() or _ABBREVIATION.search(head)
        return 0 if goes_on else end


def letters(text: str) -> int:
    """Return how long ``text`` is to say, in letters of English."""
    return len(text) + (_LETTERS_EACH - 1) * len(_EAST_ASIAN.findall(text))


def _undivided(text: str) -> list[tuple[int, int]]:
    """Return where markup lies in a line that must not be divided; it may still be open."""
    spans = [match.span() for match in _MARKUP.finditer(text)]
    return [(start, end) for start, end in spans if end - start <= _LONGEST_MARKUP]


def _within(cut: int, spans: list[tuple[int, int]]) -> bool:
    return any(start < cut < end or (start < cut == end and cut) for start, end in spans)
