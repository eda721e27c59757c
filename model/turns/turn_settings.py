"""Settings of turn taking."""

from __future__ import annotations

from dataclasses import dataclass, replace


@dataclass(frozen=True, slots=True)
class HumSettings:
    """Settings of the assistant's backchannels (:mod:`model.playback.backchannels`), in seconds.

    A hum comes after ``after`` of silence in a story: a turn with ``story`` of speech and at least
    one earlier ``pause``, which would still be going on ``margin`` later. The next one comes after
    ``again`` of speech and a ``pause`` without a hum.
    """

    after: float = 0.7
    story: float = 6.0
    pause: float = 0.3
    margin: float = 1.0
    again: float = 4.0


@dataclass(frozen=True, slots=True)
class TurnSettings:
    """Settings of turn taking, in seconds unless noted.

    End of a turn (:mod:`model.turns.endpointing`): the silence that ends it, ``silence`` if nothing
    else is known, ``silence_finished`` after a finished utterance, up to ``silence_statement``
    after a whole one that may go on (a fifth more if the user paused before in the turn), up to
    ``silence_unfinished`` after one that breaks off.
    Below ``sounds_cut``, the end-of-turn model's probability, a turn sounds cut off; for unknown
    words, it does not sound over below ``sounds_open``, and does from ``sounds_over`` on.
    ``words_wait``: how much longer than ``silence`` to wait for the words. ``speculate_after``:
    silence after which a reply is begun early. ``min_speech``: a turn with less speech is a noise.
    ``max_turn``: a longer turn is answered as it stands.

    Speech over a reply (:mod:`model.turns.barge_in`): ``onset``: speech that begins a turn or ducks
    a reply. ``barge_in``: whether speech over a reply is heard at all. ``interruptible``: whether
    it can stop the reply; otherwise it is answered afterwards. ``barge_in_confirm``: speech that
    makes the speaker stand still, or stops the reply if words cannot be known. ``barge_in_limit``:
    speech that stops it while the words are unknown. ``barge_in_release``: silence after which the
    reply goes on. ``barge_in_quiet``: speech this many dB below the user's level is someone else's
    unless a command such as "stop"; ``barge_in_below``: even then. ``continuation``: speech before
    this much of a reply was heard continues the turn, and makes the speaker stand still at once.

    ``threshold``: the detector's probability from which sound is speech. ``answers``: whether a
    turn that is over is answered; otherwise it waits for :class:`model.engine.AnswerNow`.
    ``humming``: the assistant's own backchannels, None for none.
    ``pre_roll``: audio kept from before the onset. ``partial_every``: pause between partial
    transcripts. ``deaf_after``: without ``barge_in``, sound this soon after a reply is its echo.
    """

    silence: float = 0.7
    silence_finished: float = 0.35
    silence_statement: float = 1.1
    silence_unfinished: float = 2.8
    sounds_over: float = 0.5
    sounds_open: float = 0.3
    sounds_cut: float = 0.03
    words_wait: float = 0.8
    speculate_after: float = 0.15
    min_speech: float = 0.2
    max_turn: float = 120.0
    onset: float = 0.08
    barge_in: bool = True
    interruptible: bool = True
    barge_in_confirm: float = 0.3
    barge_in_limit: float = 1.2
    barge_in_release: float = 0.4
    barge_in_quiet: float = 9.0
    barge_in_below: float = 12.0
    continuation: float = 0.6
    pre_roll: float = 0.5
    partial_every: float = 0.6
    deaf_after: float = 0.5
    threshold: float = 0.5
    answers: bool = True
    humming: HumSettings | None = None


PATIENCE = {
    "eager": TurnSettings(
        silence=0.5,
        silence_finished=0.2,
        silence_statement=0.6,
        silence_unfinished=1.5,
        speculate_after=0.08,
        barge_in_confirm=0.2,
    ),
    "normal": TurnSettings(speculate_after=0.08, barge_in_confirm=0.25),
    "patient": TurnSettings(
        silence=1.2,
        silence_finished=0.8,
        silence_statement=3.0,
        silence_unfinished=4.0,
        speculate_after=0.2,
        barge_in_confirm=0.35,
    ),
}
"""Presets by name. They can be quicker than the defaults where words are recognised: there, speech
over a reply only holds it at ``barge_in_confirm``, instead of stopping it."""


def with_patience(name: str, **numbers: float | bool) -> TurnSettings:
    """Return the preset called ``name`` with ``numbers`` in place of its own.

    A given ``silence`` also applies to finished turns, unless ``silence_finished`` is given too,
    and is the least wait for statements and unfinished phrases. Raises: KeyError.
    """
    s = replace(PATIENCE[name], **numbers)  # type: ignore[arg-type]
    if "silence" in numbers and "silence_finished" not in numbers:
        s = replace(s, silence_finished=s.silence)
    return replace(
        s,
        silence_statement=max(s.silence, s.silence_statement),
        silence_unfinished=max(s.silence, s.silence_unfinished),
        speculate_after=min(s.speculate_after, s.silence_finished, s.silence),
    )
