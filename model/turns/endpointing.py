"""When is the user's turn over? Decided from the silence, the words and the sound before it.

:func:`judge` is pure: what is known goes in as :class:`Evidence`, a :class:`Verdict` with its
reason comes out. A silence that is nothing in mid-phrase is the end after a question, so each kind
of ending has a silence of its own (:class:`model.turns.turn_settings.TurnSettings`), the longest
that applies:

- words that break off: ``silence_unfinished``
- a whole sentence that asks for nothing, unless it answers a question: ``silence_statement``
- a finished question or request: ``silence_finished``
- words that are still being recognised: ``silence`` and ``words_wait``
- words that tell nothing or are not known: ``silence``, but ``silence_finished`` if the end-of-turn
  model hears that the turn is over
- a sound that is not over, after the end-of-turn model: ``silence``, with words that tell nothing
  half of ``silence_unfinished``; one that is cut off, such as an "um" that the recogniser makes a
  word of: ``silence_unfinished``
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

from audio_io.signal import Audio
from model.turns.phrases import Phrase, Told
from model.turns.turn_settings import TurnSettings

_FRAME_MARGIN = 1e-6
"""Seconds: silences are whole frames, and their sum in floating point is not."""


class EndOfTurnModel(Protocol):
    """Hears whether a speaker is done."""

    @property
    def name(self) -> str:
        """The model, for people."""

    def load(self) -> None:
        """Make it ready. Raises: EndOfTurnError."""

    def probability(self, audio: Audio) -> float:
        """How likely it is, in [0, 1], that the turn is over with ``audio`` (float32 mono 16 kHz:
        the turn so far and the silence after it). Thread-safe. Raises: EndOfTurnError."""

    def close(self) -> None:
        """Give back memory. Safe to call twice."""


@dataclass(frozen=True, slots=True)
class Evidence:
    """What is known of a turn in a silence.

    ``silence``: its length in seconds. ``words``: what the turn's words tell, None where nobody
    recognises them or no rules are known; ``words_coming``: they are being recognised; ``asked``:
    whether they answer a question of the assistant's.
    ``probability``: the end-of-turn model's, None while or where there is none.
    """

    silence: float
    words: Told | None = None
    words_coming: bool = False
    asked: bool = False
    probability: float | None = None


@dataclass(frozen=True, slots=True)
class Verdict:
    """Whether the turn is ``over``, and the ``reason``."""

    over: bool
    reason: str


def judge(evidence: Evidence, s: TurnSettings) -> Verdict:
    """Whether a turn is over (see the module's docstring)."""
    needed, reason = _needed(evidence, s)
    return Verdict(evidence.silence + _FRAME_MARGIN >= needed, reason)


def _needed(evidence: Evidence, s: TurnSettings) -> tuple[float, str]:
    """The longest silence that anything asks for, and what asks for it."""
    if evidence.words_coming:
        return s.silence + s.words_wait, "the words are not known yet"
    told = evidence.words or Told(Phrase.UNKNOWN)
    sound = evidence.probability
    over = sound is not None and sound >= s.sounds_over
    candidates: list[tuple[float, str]] = []
    match told.phrase:
        case Phrase.UNFINISHED:
            candidates.append((s.silence_unfinished, f"the phrase breaks off: “{told.words}”"))
        case Phrase.STATEMENT if not evidence.asked:
            candidates.append((s.silence_statement, "a statement, the point may be to come"))
        case Phrase.UNKNOWN if sound is not None and over:
            candidates.append((s.silence_finished, f"it sounds finished: {sound:.0%}"))
        case Phrase.UNKNOWN:
            candidates.append((s.silence, "silence"))
        case _:
            candidates.append((s.silence_finished, "the phrase is finished"))
    if sound is not None and sound < s.sounds_cut:
        candidates.append((s.silence_unfinished, f"it sounds cut off: {sound:.0%}"))
    elif sound is not None and sound < s.sounds_open:
        known = told.phrase is not Phrase.UNKNOWN
        needed = s.silence if known else max(s.silence, s.silence_unfinished / 2)
        candidates.append((needed, f"it sounds unfinished: {sound:.0%}"))
    return max(candidates)
