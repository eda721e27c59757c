"""Turn what is known about the end of a turn into numbers."""

from __future__ import annotations

import math
from dataclasses import dataclass

from model.turns.endings.models import Outlook
from model.turns.phrases import Phrases

_MARKS = {
    "asks": ("?", "？"),
    "states": (".", "!", "。", "！"),
    "holds": (",", "-", "—", "–", "…", "...", ":", "，", "、", "："),
}
"""Marks of the recogniser at the end, which follow from sense and sound. The last are looked for
first."""

FILLER = "filler"
"""The feature that is not weighed: who ends with a filler holds the floor."""

_LEAST = 2.5e-3
"""Least probability that is told from none."""

_MOST_WORDS = 40


@dataclass(frozen=True, slots=True)
class TurnEnding:
    """The end of a turn in a silence.

    ``words``: as the recogniser wrote them. ``outlook``: the language model's, None without one.
    ``sound``: the end-of-turn model's probability, None while unknown.
    """

    words: str
    outlook: Outlook | None = None
    sound: float | None = None


def features(ending: TurnEnding, phrases: Phrases) -> dict[str, float]:
    """Return the features of ``ending`` by name; ``phrases``: the rules of its language."""
    text = ending.words.rstrip()
    last = phrases.last_phrase(text)
    mark = next((m for m in ("holds", "asks", "states") if text.endswith(_MARKS[m])), "")
    values = {
        "mark asks": float(mark == "asks"),
        "mark states": float(mark == "states"),
        "mark holds": float(mark == "holds"),
        FILLER: float(last.filler),
        "open": float(last.open),
        "spelt": float(last.spelt),
        "question word": float(last.asks),
        "length": math.log(min(max(last.length, 1), _MOST_WORDS)),
        "sentences": math.log(max(last.sentences, 1)),
        "sound": _logit(0.5 if ending.sound is None else ending.sound),
    }
    if ending.outlook is not None:
        seen = ending.outlook
        values |= {
            "ends": max(seen.ends, math.log(_LEAST)),
            "pauses": max(seen.pauses, math.log(_LEAST)),
            "goes on": seen.goes_on,
            "closes": max(seen.closes, math.log(_LEAST)),
        }
    return values


def _logit(probability: float) -> float:
    p = min(max(probability, 0.01), 0.99)
    return math.log(p / (1 - p))
