"""Judge whether the user's turn is over, from the silence and the words and sound before it.

:func:`judge` is pure: :class:`TurnEvidence` goes in, :class:`EndpointVerdict` comes out. Each kind
of ending needs its own silence (:class:`model.turns.turn_settings.TurnSettings`); the longest that
applies counts:

- words that break off: ``silence_unfinished``
- a whole sentence that asks for nothing, unless it answers a question: ``silence_statement``
- a finished question or request: ``silence_finished``
- words that are still being recognised: ``silence`` and ``words_wait``
- unclear or unknown words: ``silence``, but ``silence_finished`` if the end-of-turn
  model hears that the turn is over
- unfinished sound (end-of-turn model): ``silence``, or with unclear words half of
  ``silence_unfinished``; if cut off, such as an "um" heard as a word: ``silence_unfinished``
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

from audio_io.signal import Audio
from model.hearing.languages import language_name
from model.turns.phrases import Phrase, PhraseVerdict
from model.turns.turn_settings import TurnSettings

_FRAME_MARGIN = 1e-6
"""Seconds: a floating-point sum of whole frames falls slightly short."""


class EndOfTurnModel(Protocol):
    """Judges from the sound whether a speaker is done."""

    @property
    def name(self) -> str:
        """The model's name, for the user."""

    def load(self) -> None:
        """Make it ready. Raises: EndOfTurnError."""

    def probability(self, audio: Audio) -> float:
        """Return the probability in [0, 1] that the turn is over with ``audio`` (float32 mono
        16 kHz: the turn so far and the silence after it). Thread-safe. Raises: EndOfTurnError."""

    def close(self) -> None:
        """Free the memory. Safe to call twice."""


@dataclass(frozen=True, slots=True)
class TurnEvidence:
    """Evidence about a turn in a silence.

    ``silence``: its length in seconds. ``words``: how the turn's words end, None if unknown.
    ``unknown_language``: their language, if nothing is known of its words.
    ``words_coming``: they are still being recognised. ``asked``: the assistant asked a question
    before. ``probability``: the end-of-turn model's, None if unknown.
    """

    silence: float
    words: PhraseVerdict | None = None
    words_coming: bool = False
    asked: bool = False
    probability: float | None = None
    unknown_language: str = ""


@dataclass(frozen=True, slots=True)
class EndpointVerdict:
    """Whether the turn is ``over``, and the ``reason``."""

    over: bool
    reason: str


def judge(evidence: TurnEvidence, s: TurnSettings) -> EndpointVerdict:
    """Judge whether a turn is over (see the module's docstring)."""
    needed, reason = _needed(evidence, s)
    return EndpointVerdict(evidence.silence + _FRAME_MARGIN >= needed, reason)


def _needed(evidence: TurnEvidence, s: TurnSettings) -> tuple[float, str]:
    """Return the longest silence that applies, and its reason."""
    if evidence.words_coming:
        return s.silence + s.words_wait, "the words are not known yet"
    words = evidence.words or PhraseVerdict(Phrase.UNKNOWN)
    sound = evidence.probability
    over = sound is not None and sound >= s.sounds_over
    language = evidence.unknown_language
    why = f"; no word rules for {language_name(language)}" if language else ""
    candidates: list[tuple[float, str]] = []
    match words.phrase:
        case Phrase.UNFINISHED:
            candidates.append((s.silence_unfinished, f"the phrase breaks off: “{words.words}”"))
        case Phrase.STATEMENT if not evidence.asked:
            candidates.append((s.silence_statement, "a statement, the point may be to come"))
        case Phrase.UNKNOWN if sound is not None and over:
            candidates.append((s.silence_finished, f"it sounds finished: {sound:.0%}{why}"))
        case Phrase.UNKNOWN:
            candidates.append((s.silence, f"silence{why}"))
        case _:
            candidates.append((s.silence_finished, "the phrase is finished"))
    if sound is not None and sound < s.sounds_cut:
        candidates.append((s.silence_unfinished, f"it sounds cut off: {sound:.0%}"))
    elif sound is not None and sound < s.sounds_open:
        known = words.phrase is not Phrase.UNKNOWN
        needed = s.silence if known else max(s.silence, s.silence_unfinished / 2)
        candidates.append((needed, f"it sounds unfinished: {sound:.0%}"))
    return max(candidates)
