"""Questions of two syllables, and their answers.

Each of six syllables has a resonance of its own, at whatever pitch it is said, and stands for a
number. A question is two of them, and a pause may come between: only that it is complete tells that
it is over, not its melody. The answer names both numbers, then the larger, and counts on from
there, the further the larger the smaller one is. Each word of it sounds for six speech codes.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.random import Generator

from audio_io.clock import USER_RATE
from audio_io.signal import Audio
from model.duplex.tones.tones import ToneSpeaker, silence

NUMBERS = (
    *("one", "two", "three", "four", "five", "six", "seven", "eight"),
    *("nine", "ten", "eleven", "twelve", "thirteen", "fourteen", "fifteen", "sixteen"),
)
"""The assistant's whole vocabulary; the index of a word is its text id."""

NAMES = 2
"""An answer's words that name what was heard."""
SYLLABLES = tuple(range(6))
CODES_PER_WORD = 6

_COUNTS = 5
"""Numbers to count on from the larger one, at least."""
_RESONANCES = 900.0 * 2.0 ** (0.45 * np.array(SYLLABLES))
"""In Hz. Lower ones are too close to each other for a filter bank of 64 mels."""
_WIDTH = 160.0
_HIGHEST = 6000.0
_RAMP_S = 0.015


@dataclass(frozen=True, slots=True)
class QuizQuestion:
    """The syllables ``first`` and ``second`` (from 0), as ``who`` says them. ``seed``: of what
    differs between two sayings."""

    who: ToneSpeaker
    first: int
    second: int
    seed: int

    @property
    def answer(self) -> tuple[int, ...]:
        """The text ids of the right answer."""
        low, high = sorted((self.first, self.second))
        return (self.first, self.second, high, *range(high + 1, high + 1 + _COUNTS + low))

    def parts(self) -> tuple[Audio, float, Audio]:
        """Return both syllables at 16 kHz, and the seconds between them if there is no pause."""
        random = np.random.default_rng(self.seed)
        gap = random.uniform(0.07, 0.12) / self.who.tempo
        return (
            _syllable(self.who, random, self.first),
            gap,
            _syllable(self.who, random, self.second),
        )

    def sound(self) -> Audio:
        """Return the question at 16 kHz, without a pause."""
        first, gap, second = self.parts()
        return np.concatenate((first, silence(gap), second))


def draw_question(
    who: ToneSpeaker, random: Generator, syllables: Sequence[int] = SYLLABLES
) -> QuizQuestion:
    """Draw a question of ``who``, of two of the ``syllables``."""
    first, second = (syllables[n] for n in random.integers(len(syllables), size=2))
    return QuizQuestion(who, first, second, int(random.integers(2**32)))


def codes_of_word(word: int) -> tuple[int, ...]:
    """Return the speech codes of the text id ``word``: three times its own, and marks between that
    tell how far it is said."""
    marks = range(len(NUMBERS), len(NUMBERS) + CODES_PER_WORD // 2)
    return tuple(code for mark in marks for code in (word, mark))


def _syllable(who: ToneSpeaker, random: Generator, number: int) -> Audio:
    count = round(random.uniform(0.17, 0.26) / who.tempo * USER_RATE)
    begin = who.pitch * random.uniform(0.9, 1.1)
    pitch = np.linspace(begin, begin * random.uniform(0.85, 1.15), count)
    phase = (2 * np.pi * np.cumsum(pitch) / USER_RATE).astype(np.float32)
    pitch = pitch.astype(np.float32)
    resonance = np.float32(_RESONANCES[number] * random.uniform(0.97, 1.03))
    harmonics = np.arange(1, int(_HIGHEST / pitch.max()) + 1, dtype=np.float32)[:, None]
    gains = 1 / (1 + ((harmonics * pitch - resonance) / _WIDTH) ** 2)
    gains[0] += 0.3  # the voice itself
    wave = (gains * np.sin(harmonics * phase)).sum(axis=0)
    wave /= np.sqrt((wave**2).mean())
    time = np.arange(count) / USER_RATE
    ramp = np.minimum(1.0, np.minimum(time, time[::-1]) / _RAMP_S)
    shaped: Audio = (who.level * ramp * wave).astype(np.float32)
    return shaped
