"""Which words of a reply a sound says, and how much of its text was heard."""

from __future__ import annotations

import re

from audio_io.clock import ASSISTANT_RATE, seconds
from model.reply import Heard

_WIDE = (
    "\u1100-\u115f\u2e80-\u303e\u3041-\ua4cf\uac00-\ud7a3\uf900-\ufaff\ufe30-\ufe6f"
    "\uff00-\uff60\uffe0-\uffe6\U0001f300-\U0001faff\U00020000-\U0003fffd"
)
"""Characters of scripts without spaces (East Asian), each a word of its own, and emoji."""
_WORD = re.compile(rf"\s*(?:[{_WIDE}]|[^\s{_WIDE}]+)\s*")
_IS_WIDE = re.compile(rf"[{_WIDE}]")
_LETTERS_PER_S = 16.0
"""Letters that a quick speaker says: words are given to a sound rather early than late."""
_WIDE_LETTERS = 3.5
"""A wide character is said as long as so many letters."""


class SpokenText:
    """A reply's written text, and what each piece of its sound says.

    Without ``speaks``, the user reads the reply, so all of its text counts as heard.
    """

    def __init__(self, *, speaks: bool = True) -> None:
        self._speaks = speaks
        self._pieces: list[tuple[int, int]] = []  # samples, and letters that they say
        self._silent = ""
        self.written = ""
        """The whole text so far."""
        self.samples = 0
        """Length of the sound so far, in samples at 24 kHz."""
        self.complete = False
        """Whether no text or sound will be added."""

    def write(self, delta: str) -> None:
        """Add text as it is written."""
        self.written += delta

    def say(self, samples: int, text: str) -> None:
        """Add ``samples`` (24 kHz) of sound that say ``text``. Text without sound is taken to be
        said with the next sound."""
        text, self._silent = self._silent + text, ""
        if samples:
            self._pieces.append((samples, _letters(text)))
            self.samples += samples
        else:
            self._silent = text

    def split(self, samples: int, *, begun: bool = False) -> Heard:
        """Divide the text after the last word that the first ``samples`` (24 kHz) say to its end.

        ``begun``: include the word that is being said. The letters of a piece are taken to be
        equally long.
        """
        if not self._speaks or (self.complete and samples >= self.samples):
            return Heard(samples, self.written, "")
        heard, end, letters = self._letters_in(samples), 0, 0
        for word in _WORD.finditer(self.written):
            before, letters = letters, letters + _letters(word.group())
            if (before >= heard) if begun else (letters > heard):
                break
            end = word.end()
        return Heard(samples, self.written[:end], self.written[end:])

    def _letters_in(self, samples: int) -> float:
        """Return the number of letters that the first ``samples`` say."""
        letters = 0.0
        for length, said in self._pieces:
            if samples < length:
                return letters + said * samples / length
            letters += said
            samples -= length
        return letters


def said_by(text: str, share: float) -> int:
    """Return the end of the words of ``text`` that the first ``share`` of its sound says.

    The word that is being said counts from its middle on.
    """
    if share >= 1.0:
        return len(text)
    said, end, letters = share * _letters(text), 0, 0
    for word in _WORD.finditer(text):
        length = _letters(word.group())
        if letters + length / 2 > said:
            break
        letters, end = letters + length, word.end()
    return end


class SaidWords:
    """Shares the words of a reply out over its sound, at a common rate of speech.

    For a reply whose words and sound come side by side, and nothing tells when a word is said.
    """

    def __init__(self) -> None:
        self._waiting = ""
        self._room = 0.0

    def write(self, delta: str) -> None:
        """Add text as it is written."""
        self._waiting += delta

    def take(self, samples: int) -> str:
        """Return the text that the next ``samples`` (24 kHz) say."""
        self._room += seconds(samples, ASSISTANT_RATE) * _LETTERS_PER_S
        end = 0
        for word in _WORD.finditer(self._waiting):
            wide = len(_IS_WIDE.findall(word.group()))
            length = _letters(word.group()) + wide * (_WIDE_LETTERS - 1)
            if length > self._room:
                break
            self._room -= length
            end = word.end()
        text, self._waiting = self._waiting[:end], self._waiting[end:]
        if not self._waiting:
            self._room = 0.0  # text that comes late is not said all at once
        return text


def _letters(text: str) -> int:
    return sum(not char.isspace() for char in text)
