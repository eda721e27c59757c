"""Speech over a reply: is it an interruption, or did the listener only say "mm-hmm"?

:func:`judge` is pure: what is known goes in as :class:`SpeechOver`, a verdict with its reason comes
out. Where the words can be recognised, the reply is held in its place as soon as there was enough
speech, and the words decide whether it goes on from there or stops. Where they cannot, the length
of the speech decides. What is well below the user's own level is taken for somebody else's,
however long it is, unless it is a short command.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from model.turns.phrases import Over, ToldOver
from model.turns.turn_settings import TurnSettings

ENDED = 0.2
"""Seconds of silence after which the speech over a reply is taken to be whole."""

CONTENT = 3
"""Words that are no backchannel after which the rest is not waited for."""

ONE_WORD = 0.8
"""Seconds of speech below which a single unknown word is taken for a sound: recognisers make words
of "mm-hmm"."""

UNCLEAR = 0.3
"""Seconds of speech of which too little is known for any word to count."""

UNHEARD = 0.1
"""Seconds of speech that may be missing in what was recognised of it."""

STALE = 0.7
"""Seconds of speech that may have come since its words were known to be nothing but noises."""

WORDS_WAIT = 0.8
"""Seconds that words are waited for after the speech has ended."""


class Act(StrEnum):
    """What is to be done about speech over a reply."""

    WAIT = "wait"
    HOLD = "hold"
    RESUME = "resume"
    STOP = "stop"


@dataclass(frozen=True, slots=True)
class SpeechOver:
    """What is known of speech over a reply. Times are in seconds.

    ``voiced``: how much there is of it, ``silence`` since its end. ``level``: in dB relative to the
    user's own. ``recognized``: whether its words can become known; ``told``: what
    they are so far, of the first ``told_of`` seconds. ``goes_on``: the reply has only just begun,
    so that a single word may be the rest of the turn that it answers.
    """

    voiced: float
    silence: float
    level: float = 0.0
    recognized: bool = False
    told: ToldOver | None = None
    told_of: float = 0.0
    goes_on: bool = False


@dataclass(frozen=True, slots=True)
class Verdict:
    """What is to be done, and why."""

    act: Act
    reason: str


def judge(speech: SpeechOver, s: TurnSettings) -> Verdict:
    """What is to be done about ``speech`` now."""
    far = speech.level < -s.barge_in_below
    if far or (speech.level < -s.barge_in_quiet and not _is_command(speech)):
        words_may_come = speech.recognized and not far and not _known_whole(speech)
        patience = s.barge_in_release + (WORDS_WAIT if words_may_come else 0.0)
        act = Act.WAIT if speech.silence < patience else Act.RESUME
        return Verdict(act, f"somebody else, {-speech.level:.0f} dB below you")
    if speech.voiced < s.min_speech:
        # Too little for a turn: to stop for it would be to stop for nothing.
        act = Act.WAIT if speech.silence < s.barge_in_release else Act.RESUME
        return Verdict(act, f"only {speech.voiced:.2f} s of speech")
    by_words = _judge_words(speech) if speech.recognized else None
    return by_words or _judge_length(speech, s)


def _judge_length(speech: SpeechOver, s: TurnSettings) -> Verdict:
    """The verdict without words; where they may come, there is more time for it."""
    if speech.recognized:
        enough, patience = s.barge_in_limit, s.barge_in_release + WORDS_WAIT
    else:
        enough, patience = s.barge_in_confirm, s.barge_in_release
    if speech.voiced >= enough and not _only_noises(speech, s):
        return Verdict(Act.STOP, f"you spoke for {speech.voiced:.2f} s")
    if speech.silence >= patience:
        return Verdict(Act.RESUME, f"only {speech.voiced:.2f} s of speech")
    if speech.recognized and speech.voiced >= s.barge_in_confirm:
        return Verdict(Act.HOLD, f"{speech.voiced:.2f} s of speech")
    return Verdict(Act.WAIT, f"{speech.voiced:.2f} s of speech")


def _judge_words(speech: SpeechOver) -> Verdict | None:
    """The verdict that the words allow; None when they leave it open."""
    told = speech.told
    whole = _known_whole(speech)
    if told is None or not (whole or speech.told_of >= UNCLEAR):
        return None
    said = f"“{told.words}”" if told.words else "no words"
    if told.kind is Over.INTERRUPTION or told.content >= CONTENT:
        return Verdict(Act.STOP, f"you said {said}")
    if not whole:
        return None
    enough = 1 if speech.goes_on or speech.voiced >= ONE_WORD else 2
    if told.content >= enough:
        return Verdict(Act.STOP, f"you said {said}")
    return Verdict(Act.RESUME, f"only {said}")


def _known_whole(speech: SpeechOver) -> bool:
    """Whether it has ended, and its words are known to the end."""
    return speech.silence >= ENDED and speech.told_of >= speech.voiced - UNHEARD


def _is_command(speech: SpeechOver) -> bool:
    """Whether it is one that can hardly be meant for anybody else: "stop" and nothing more."""
    told = speech.told
    if told is None or not _known_whole(speech):
        return False
    return told.kind is Over.INTERRUPTION and told.content < CONTENT


def _only_noises(speech: SpeechOver, s: TurnSettings) -> bool:
    """Whether all that was understood lately is no words or backchannels (someone laughs)."""
    if speech.told is None or speech.told.content:
        return False
    return speech.voiced - speech.told_of <= STALE and speech.voiced < 2 * s.barge_in_limit
