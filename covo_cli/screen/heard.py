"""How much of a reply has been heard so far, as text: an estimate for the eye.

The exact figure comes with the reply's end (``ReplyFinished`` or ``Interrupted``); until then the
reply's sound, counted from its first audible sample, is matched with the text it says.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray


class HeardText:
    """The text of reply ``reply``, divided at the point that the speaker has reached."""

    def __init__(self, reply: int) -> None:
        self.reply = reply
        self._written = ""
        self._chunks: list[tuple[int, int]] = []  # samples, and letters that they say
        self._sent = 0
        self._played = 0
        self._begun = False

    def write(self, reply: int, delta: str) -> None:
        """More of the text as it was written."""
        if reply == self.reply:
            self._written += delta

    def send(self, reply: int, samples: int, text: str) -> None:
        """``samples`` (24 kHz) that say ``text`` were queued for playing."""
        if reply == self.reply:
            self._chunks.append((samples, _letters(text)))
            self._sent += samples

    def play(self, sound: NDArray[np.float32]) -> bool:
        """One frame of what was heard; whether the reply went on with it."""
        if self._played >= self._sent:
            return False
        if not self._begun and not np.any(sound):
            return False  # queued, but still on its way
        self._begun = True
        self._played = min(self._sent, self._played + len(sound))
        return True

    def split(self) -> tuple[str, str]:
        """The written text up to the last word that was begun, and the rest."""
        letters = self._letters_heard()
        if letters <= 0:
            return "", self._written
        seen = 0
        for index, char in enumerate(self._written):
            if char.isspace():
                if seen >= letters:
                    return self._written[:index], self._written[index:]
            else:
                seen += 1
        return self._written, ""

    def _letters_heard(self) -> float:
        left, letters = self._played, 0.0
        for samples, said in self._chunks:
            if left >= samples:
                letters += said
            else:
                return letters + said * left / samples
            left -= samples
        return letters


def _letters(text: str) -> int:
    return sum(not char.isspace() for char in text)
