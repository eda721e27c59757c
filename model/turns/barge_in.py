"""Judge whether speech over a reply is an interruption or only a "mm-hmm".

:func:`judge` is pure: :class:`OverlapEvidence` goes in, :class:`OverlapVerdict` comes out. Where
the words can be recognised, enough speech makes the speaker stand still, and the words decide
whether the reply goes on from there or stops. Where they cannot, the length of the speech decides.
Speech well below the user's level, or in another voice, is someone else's, unless it is a short
command. While the voice is still to be told, the reply stands still instead of stopping. A reply
that has only just begun stands still at once: the user may be going on with the turn.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from model.hearing.identity.speaker_check import SOMEBODY_ELSE
from model.turns.phrases import OverlapKind, OverlapWords
from model.turns.turn_settings import TurnSettings

ENDED_S = 0.2
"""Speech over a reply has ended after this silence."""

CONTENT_WORDS = 3
"""Stop the reply after this many content words, without waiting for the speaker to finish."""

ONE_WORD_S = 0.8
"""A single unknown word in less speech than this is noise: recognisers make words of "mm-hmm"."""

UNCLEAR_S = 0.3
"""Ignore the words recognised in less speech than this, unless it has ended."""

UNHEARD_S = 0.1
"""The words are complete if at most this much speech came after them."""

STALE_S = 0.7
"""Speech still counts as noise if at most this much came after the last words."""

WORDS_WAIT_S = 0.8
"""Longest wait for the words after the speech has ended."""


class Act(StrEnum):
    """What to do with the reply."""

    WAIT = "wait"
    HOLD = "hold"
    RESUME = "resume"
    STOP = "stop"


@dataclass(frozen=True, slots=True)
class OverlapEvidence:
    """Evidence about speech over a reply. Times are in seconds.

    ``voiced``: its amount; ``silence``: since its end. ``level``: in dB relative to the user's own.
    ``recognized``: whether words can be recognised; ``words``: those of its first ``words_until``
    seconds. ``goes_on``: the reply has only just begun, so that a single word may be the rest of
    the turn that it answers. ``other``: the voice is clearly not the user's; ``voice_coming``: that
    is still to be told.
    """

    voiced: float
    silence: float
    level: float = 0.0
    recognized: bool = False
    words: OverlapWords | None = None
    words_until: float = 0.0
    goes_on: bool = False
    other: bool = False
    voice_coming: bool = False


@dataclass(frozen=True, slots=True)
class OverlapVerdict:
    """What to do with the reply, and why."""

    act: Act
    reason: str


def judge(speech: OverlapEvidence, s: TurnSettings) -> OverlapVerdict:
    """Decide what to do about ``speech`` now."""
    far = speech.level < -s.barge_in_below
    quiet = speech.level < -s.barge_in_quiet
    if far or ((quiet or speech.other) and not _is_command(speech)):
        words_may_come = speech.recognized and not far and not _known_whole(speech)
        patience = s.barge_in_release + (WORDS_WAIT_S if words_may_come else 0.0)
        act = Act.WAIT if speech.silence < patience else Act.RESUME
        below = f"somebody else, {-speech.level:.0f} dB below you"
        return OverlapVerdict(act, below if far or quiet else SOMEBODY_ELSE)
    verdict = _judge_users(speech, s)
    waits_for_voice = speech.voice_coming and not _is_command(speech)
    if (verdict.act is Act.STOP and waits_for_voice) or (
        verdict.act is Act.WAIT and speech.goes_on
    ):
        return OverlapVerdict(Act.HOLD, verdict.reason)
    return verdict


def _judge_users(speech: OverlapEvidence, s: TurnSettings) -> OverlapVerdict:
    if speech.voiced < s.min_speech:
        # Too short for a turn: not worth stopping the reply.
        act = Act.WAIT if speech.silence < s.barge_in_release else Act.RESUME
        return OverlapVerdict(act, f"only {speech.voiced:.2f} s of speech")
    by_words = _judge_words(speech) if speech.recognized else None
    return by_words or _judge_length(speech, s)


def _judge_length(speech: OverlapEvidence, s: TurnSettings) -> OverlapVerdict:
    """Judge by length, allowing more time if words may still come."""
    if speech.recognized:
        enough, patience = s.barge_in_limit, s.barge_in_release + WORDS_WAIT_S
    else:
        enough, patience = s.barge_in_confirm, s.barge_in_release
    if speech.voiced >= enough and not _only_noises(speech, s):
        return OverlapVerdict(Act.STOP, f"you spoke for {speech.voiced:.2f} s")
    if speech.silence >= patience:
        return OverlapVerdict(Act.RESUME, f"only {speech.voiced:.2f} s of speech")
    if speech.recognized and speech.voiced >= s.barge_in_confirm:
        return OverlapVerdict(Act.HOLD, f"{speech.voiced:.2f} s of speech")
    return OverlapVerdict(Act.WAIT, f"{speech.voiced:.2f} s of speech")


def _judge_words(speech: OverlapEvidence) -> OverlapVerdict | None:
    """Judge by the words; None if they are inconclusive."""
    words = speech.words
    whole = _known_whole(speech)
    if words is None or not (whole or speech.words_until >= UNCLEAR_S):
        return None
    said = f"“{words.words}”" if words.words else "no words"
    if words.kind is OverlapKind.INTERRUPTION or words.content >= CONTENT_WORDS:
        return OverlapVerdict(Act.STOP, f"you said {said}")
    if not whole:
        return None
    enough = 1 if speech.goes_on or speech.voiced >= ONE_WORD_S else 2
    if words.content >= enough:
        return OverlapVerdict(Act.STOP, f"you said {said}")
    return OverlapVerdict(Act.RESUME, f"only {said}")


def _known_whole(speech: OverlapEvidence) -> bool:
    """Return whether the speech has ended and all its words are known."""
    return speech.silence >= ENDED_S and speech.words_until >= speech.voiced - UNHEARD_S


def _is_command(speech: OverlapEvidence) -> bool:
    """Return whether it is a short command that can only be meant for the assistant: "stop"."""
    words = speech.words
    if words is None or not _known_whole(speech):
        return False
    return words.kind is OverlapKind.INTERRUPTION and words.content < CONTENT_WORDS


def _only_noises(speech: OverlapEvidence, s: TurnSettings) -> bool:
    """Return whether the latest words are backchannels, or there are none (someone laughs)."""
    if speech.words is None or speech.words.content:
        return False
    return speech.voiced - speech.words_until <= STALE_S and speech.voiced < 2 * s.barge_in_limit
