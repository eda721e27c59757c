"""When is the user's turn over? Decided from the silence, the words and the sound before it.

:func:`judge` is pure: what is known goes in as :class:`Evidence`, a :class:`Verdict` with its
reason comes out. A silence that is nothing in mid-phrase is the end after a question, so each kind
of ending has a silence of its own (:class:`model.turn_settings.TurnSettings`):

====================  ========================  =====================
the words are         the sound is over         the sound goes on
====================  ========================  =====================
finished              ``silence_finished``      ``silence``
not to be told        ``silence_finished``      half ``silence_unfinished``
unfinished            ``silence_unfinished``    ``silence_unfinished``
====================  ========================  =====================

Without an end-of-turn model, finished words need ``silence_finished`` and unknown ones
``silence``.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

from model.engine import Audio
from model.phrases import Phrase, Told
from model.turn_settings import TurnSettings

_FRAME_MARGIN = 1e-6
"""Seconds: silences are whole frames, and their sum in floating point is not."""


class EndOfTurnModel(Protocol):
    """Hears whether a speaker is done."""

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
    recognises them or no rules are known; ``words_coming``: they are being recognised.
    ``probability``: the end-of-turn model's, None while or where there is none.
    """

    silence: float
    words: Told | None = None
    words_coming: bool = False
    probability: float | None = None


@dataclass(frozen=True, slots=True)
class Verdict:
    """Whether the turn is ``over``, and the ``reason``; ``needed``: the silence in seconds that
    ends it if nothing changes."""

    over: bool
    needed: float
    reason: str


def judge(evidence: Evidence, s: TurnSettings) -> Verdict:
    """Whether a turn is over (see the module's docstring)."""
    needed, reason = _needed(evidence, s)
    return Verdict(evidence.silence + _FRAME_MARGIN >= needed, needed, reason)


def _needed(evidence: Evidence, s: TurnSettings) -> tuple[float, str]:
    if evidence.words_coming:
        return s.silence + s.words_wait, "the words are not known yet"
    phrase = evidence.words.phrase if evidence.words else Phrase.UNKNOWN
    sounds_over = evidence.probability is not None and evidence.probability >= s.probability
    sounds_open = evidence.probability is not None and not sounds_over
    if phrase is Phrase.UNFINISHED and evidence.words is not None:
        return s.silence_unfinished, f"the phrase is unfinished: “{evidence.words.words}”"
    if sounds_open:
        heard = f"it sounds unfinished: {evidence.probability:.0%}"
        if phrase is Phrase.FINISHED:
            return s.silence, heard
        return max(s.silence, s.silence_unfinished / 2), heard
    if phrase is Phrase.FINISHED:
        return s.silence_finished, "the phrase is finished"
    if sounds_over:
        return s.silence_finished, f"it sounds finished: {evidence.probability:.0%}"
    return s.silence, "silence"
