"""The numbers of turn taking."""

from __future__ import annotations

from dataclasses import dataclass, replace


@dataclass(frozen=True, slots=True)
class TurnSettings:
    """The controller's numbers, in seconds unless said otherwise.

    When a turn is over (:mod:`model.turns.endpointing`): ``silence`` after the user's last word
    ends a turn of which nothing else is known; ``silence_finished`` one that asks something and
    sounds finished; ``silence_statement`` one whose last sentence is whole and asks for nothing;
    ``silence_unfinished`` one that breaks off. ``sounds_over``, ``sounds_open``, ``sounds_cut``:
    the end-of-turn model's probabilities from and below which these are so. ``words_wait``: how
    much longer than ``silence`` the words are waited for. ``speculate_after`` that much silence, a
    reply is begun early. ``min_speech``: a turn with less speech is a noise. ``max_turn``: a longer
    turn is answered as it stands.

    What speech over a reply is (:mod:`model.turns.barge_in`): ``onset``: speech that long begins a
    turn, or ducks a reply. ``barge_in``: whether speech can stop a reply at all;
    ``barge_in_confirm``: how much speech silences it, and stops it where nobody can tell what was
    said; ``barge_in_limit``: how much stops it even though its words are not known;
    ``barge_in_release``: silence after which the reply returns; ``barge_in_quiet``: dB below the
    user's own level from which on it is somebody else who speaks, unless it is a command such as
    "stop", and ``barge_in_below``: from which on it always is. A reply of which less than
    ``continuation`` was heard when the user went on talking was premature.

    ``pre_roll``: audio kept from before the onset. ``partial_every``: pause between partial
    transcripts. ``deaf_after``: with ``barge_in`` off, how long after a reply its last echo is not
    listened to.
    """

    silence: float = 0.7
    silence_finished: float = 0.35
    silence_statement: float = 2.3
    silence_unfinished: float = 2.8
    sounds_over: float = 0.5
    sounds_open: float = 0.3
    sounds_cut: float = 0.08
    words_wait: float = 0.8
    speculate_after: float = 0.15
    min_speech: float = 0.2
    max_turn: float = 120.0
    onset: float = 0.08
    barge_in: bool = True
    barge_in_confirm: float = 0.3
    barge_in_limit: float = 1.2
    barge_in_release: float = 0.4
    barge_in_quiet: float = 9.0
    barge_in_below: float = 12.0
    continuation: float = 0.6
    pre_roll: float = 0.5
    partial_every: float = 0.6
    deaf_after: float = 0.5


PATIENCE = {
    "eager": TurnSettings(
        silence=0.5,
        silence_finished=0.2,
        silence_statement=0.8,
        silence_unfinished=1.5,
        speculate_after=0.1,
        barge_in_confirm=0.2,
    ),
    "normal": TurnSettings(speculate_after=0.12, barge_in_confirm=0.25),
    "patient": TurnSettings(
        silence=1.2,
        silence_finished=0.8,
        silence_statement=3.0,
        silence_unfinished=4.0,
        speculate_after=0.2,
        barge_in_confirm=0.35,
    ),
}
"""The presets, by name. With words to go by, speech over a reply only silences it at
``barge_in_confirm``, so that they can be quicker than the defaults, at which it stops it."""


def with_patience(name: str, **numbers: float | bool) -> TurnSettings:
    """The preset called ``name`` with ``numbers`` instead of its own.

    A ``silence`` that is given holds for finished turns as well, unless ``silence_finished`` is
    given too; and a turn that breaks off is never waited for less. Raises: KeyError.
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
