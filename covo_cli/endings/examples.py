"""Utterances, whole and broken off, from a file of texts."""

from __future__ import annotations

import hashlib
import random
import tomllib
from collections.abc import Iterator
from dataclasses import dataclass
from importlib import resources
from typing import Any

_WHOLE = ("questions", "short_ends", "requests", "statements")
"""Lists of utterances that are over."""

_OPEN = ("prefaces",)
"""Lists of whole phrases after which a listener waits."""

_BROKEN = ("breaks",)

CUT = "cut"
"""The kind of those that are cut at a random word."""

_LEAST_LEFT = 3
"""A text is cut where at least this many words are left on each side."""

_CUT_EVERY = 2
"""Every so many whole utterances, one is also cut."""


@dataclass(frozen=True, slots=True)
class Example:
    """Something said, and what is right after it.

    ``lines``: what is said in one turn, with pauses between them; of the last, only the share
    ``until`` of its sound. ``before``: the assistant's question that it answers. ``whole``: it does
    not break off. ``over``: nothing more is to come. ``kind``: the list it comes from.
    """

    kind: str
    lines: tuple[str, ...]
    whole: bool
    over: bool
    before: str = ""
    until: float = 1.0

    @property
    def text(self) -> str:
        """Everything that is said, unless it is cut."""
        return " ".join(self.lines)

    @property
    def digest(self) -> int:
        """A number from 0 to 65535 that is as good as drawn, by its first line."""
        return int.from_bytes(hashlib.sha256(self.lines[0].encode()).digest()[:2])

    @property
    def held_out(self) -> bool:
        """Whether it is kept from training: a fifth of all."""
        return self.digest % 5 == 0


def examples(language: str) -> list[Example]:
    """Return the examples of ``language``, a code, in a random order that is always the same."""
    file = resources.files("covo_cli.endings").joinpath("texts", f"{language}.toml")
    found = list(dict.fromkeys(_read(tomllib.loads(file.read_text("utf-8")))))
    random.Random(0).shuffle(found)
    return found


def _read(texts: dict[str, Any]) -> Iterator[Example]:
    dice = random.Random(1)
    for kind in _WHOLE:
        for number, text in enumerate(texts.get(kind, ())):
            yield Example(kind, (text,), whole=True, over=True)
            if number % _CUT_EVERY == 0:
                yield from _cut((text,), dice)
    for kind in (*_OPEN, *_BROKEN):
        for text in texts.get(kind, ()):
            yield Example(kind, (text,), whole=kind in _OPEN, over=False)
    for kind in ("answers", "cut_answers"):
        for before, text in texts.get(kind, ()):
            done = kind == "answers"
            yield Example(kind, (text,), whole=done, over=done, before=before)
    for said, _ in texts.get("corrections", ()):
        yield Example("corrections", (said,), whole=True, over=True)
    for kind in ("stories", "dictation"):
        for lines in texts.get(kind, ()):
            for said in range(1, len(lines) + 1):
                over = said == len(lines)
                yield Example(kind, tuple(lines[:said]), whole=True, over=over)
    for lines in texts.get("stories", ()):
        yield from _cut(tuple(lines), dice)


def _cut(lines: tuple[str, ...], dice: random.Random) -> Iterator[Example]:
    """Yield ``lines`` broken off before a random word of the last, unless that is too short.

    Without spaces, a character is a word.
    """
    text = lines[-1]
    places = [at for at, letter in enumerate(text) if letter == " "] or list(range(len(text)))
    if len(places) >= 2 * _LEAST_LEFT:
        until = dice.choice(places[_LEAST_LEFT - 1 : -_LEAST_LEFT]) / len(text)
        yield Example(CUT, lines, whole=False, over=False, until=until)
