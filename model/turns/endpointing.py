"""Judge whether the user's turn is over, from the silence and the words and sound before it.

:func:`judge` is pure: :class:`TurnEvidence` goes in, :class:`TurnVerdict` comes out. Each kind
of ending needs its own silence (:class:`model.turns.turn_settings.TurnSettings`):

- words of a language with trained weights (:mod:`model.turns.endings`): the surer they break off,
  the closer to ``silence_unfinished``; the likelier more sentences follow, the closer to
  ``silence_statement``, or to more than that if the user paused before in this turn; else
  ``silence_finished``. The longest counts
- a sound that is cut off, such as an "um" that was heard as a word: ``silence_unfinished``; the
  likelier its words end a turn, the closer to that of a statement
- more after a reply that began too early: at least ``silence_statement``, and longer than the
  user's own pauses in this turn were, up to ``silence_unfinished``
- words that are still being recognised or weighed: ``silence`` and ``words_wait``
- unknown words, or of another language: ``silence``, but ``silence_finished`` if they sound over,
  half of ``silence_unfinished`` if they do not, all of it if they sound cut off
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

import numpy as np

from model.hearing.languages import language_name
from model.turns.endings.weights import WeighedEnding
from model.turns.turn_settings import TurnSettings

_FRAME_MARGIN = 1e-6
"""Seconds: a floating-point sum of whole frames falls slightly short."""

BROKEN, WHOLE = 0.1, 0.4
"""Probabilities of whole words: at most the first, they surely break off; at least the second, they
surely do not."""

SOUND_CUT, SOUND_WHOLE = 0.35, 0.55
"""Probabilities that words end a turn which sounds cut off: at most the first, it is; at least the
second, it is not."""

LONGER_PAUSE = 1.2
"""Who made a pause may make one that is longer by this factor."""

OPEN, OVER = 0.62, 0.74
"""Probabilities that whole words end a turn: at most the first, more may well follow; at least the
second, nothing does."""


class TurnEnd(StrEnum):
    """How a turn's words end: with a finished utterance; with a whole one that may be followed by
    more; broken off."""

    FINISHED = "finished"
    STATEMENT = "statement"
    UNFINISHED = "unfinished"
    UNKNOWN = "unknown"


@dataclass(frozen=True, slots=True)
class TurnEvidence:
    """Evidence about a turn in a silence.

    ``silence``: its length in seconds. ``ending``: how its words and sound were weighed, None if
    unknown. ``words_coming``: that is still to come. ``resumed``: a reply to it was taken back;
    ``longest_pause``: in it, in seconds.
    ``sound``: the end-of-turn model's probability, None if unknown. ``unknown_language``: the
    words' language, if there are no weights for it.
    """

    silence: float
    ending: WeighedEnding | None = None
    words_coming: bool = False
    resumed: bool = False
    longest_pause: float = 0.0
    sound: float | None = None
    unknown_language: str = ""

    @property
    def end(self) -> TurnEnd:
        """How the words end."""
        ending = self.ending
        if ending is None:
            return TurnEnd.UNKNOWN
        if ending.whole < (BROKEN + WHOLE) / 2:
            return TurnEnd.UNFINISHED
        return TurnEnd.STATEMENT if ending.over < (OPEN + OVER) / 2 else TurnEnd.FINISHED

    @property
    def probability(self) -> float | None:
        """Probability that the turn is over, None if unknown."""
        return self.ending.whole * self.ending.over if self.ending else self.sound


@dataclass(frozen=True, slots=True)
class TurnVerdict:
    """Whether the turn is ``over``, and the ``reason``."""

    over: bool
    reason: str


def judge(evidence: TurnEvidence, s: TurnSettings) -> TurnVerdict:
    """Judge whether a turn is over (see the module's docstring)."""
    silence, reason = needed(evidence, s)
    return TurnVerdict(evidence.silence + _FRAME_MARGIN >= silence, reason)


def needed(evidence: TurnEvidence, s: TurnSettings) -> tuple[float, str]:
    """Return the silence in seconds that ends the turn, the longest that applies, and why."""
    if evidence.words_coming:
        return s.silence + s.words_wait, "the words are not known yet"
    if evidence.ending is None:
        candidates = [_by_sound(evidence, s)]
    else:
        candidates = _by_words(evidence.ending, evidence, s)
    if evidence.resumed:
        pause = min(LONGER_PAUSE * evidence.longest_pause, s.silence_unfinished)
        candidates.append((max(s.silence_statement, pause), "you went on before"))
    return max(candidates)


def _by_words(
    ending: WeighedEnding, evidence: TurnEvidence, s: TurnSettings
) -> list[tuple[float, str]]:
    """Return the silences for what may break off, for what more may follow, and for what sounds cut
    off."""
    statement, likely = s.silence_statement, ending.whole * ending.over
    if evidence.longest_pause >= s.silence_finished:
        statement = min(LONGER_PAUSE * statement, s.silence_unfinished)
    broken = _between(ending.whole, BROKEN, WHOLE, s.silence_unfinished, s.silence_finished)
    opened = _between(ending.over, OPEN, OVER, statement, s.silence_finished)
    why_broken = f"broken off ({1 - ending.whole:.0%}): {ending.why_broken}"
    why_open = f"more may follow ({1 - ending.over:.0%}): {ending.why_open}"
    silences = [
        (s.silence_finished, f"the turn is finished ({likely:.0%})"),
        (broken, why_broken),
        (opened, why_open),
    ]
    if evidence.sound is not None and evidence.sound < s.sounds_cut:
        cut = _between(likely, SOUND_CUT, SOUND_WHOLE, s.silence_unfinished, statement)
        silences.append((cut, f"it sounds cut off: {evidence.sound:.0%}"))
    return silences


def _between(value: float, low: float, high: float, longest: float, shortest: float) -> float:
    """Return the silence for ``value``: ``longest`` up to ``low``, ``shortest`` from ``high`` on,
    between them in equal ratios."""
    return float(np.exp(np.interp(value, (low, high), np.log((longest, shortest)))))


def _by_sound(evidence: TurnEvidence, s: TurnSettings) -> tuple[float, str]:
    sound, language = evidence.sound, evidence.unknown_language
    why = f"; no word rules for the end of a turn in {language_name(language)}" if language else ""
    if sound is None or s.sounds_open <= sound < s.sounds_over:
        return s.silence, f"silence{why}"
    if sound >= s.sounds_over:
        return s.silence_finished, f"it sounds finished: {sound:.0%}{why}"
    if sound >= s.sounds_cut:
        return max(s.silence, s.silence_unfinished / 2), f"it sounds unfinished: {sound:.0%}{why}"
    return s.silence_unfinished, f"it sounds cut off: {sound:.0%}{why}"
