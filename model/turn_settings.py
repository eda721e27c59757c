"""The numbers of turn taking."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class TurnSettings:
    """The controller's numbers, in seconds.

    ``silence`` after the user's last word ends a turn; ``speculate_after`` that much, a reply is
    begun early. ``min_speech``: a turn with less speech is a noise. ``onset``: speech that long
    begins a turn, or ducks a reply. ``barge_in``: whether speech can stop a reply at all;
    ``barge_in_confirm``: how much speech it takes; ``barge_in_release``: silence after which a
    ducked reply returns. A reply of which less than ``continuation`` was heard when the user went
    on talking was premature. ``pre_roll``: audio kept from before the onset. ``partial_every``:
    pause between partial transcripts. ``max_turn``: a longer turn is answered as it stands.
    ``deaf_after``: with ``barge_in`` off, how long after a reply its last echo is not listened to.
    """

    silence: float = 0.7
    speculate_after: float = 0.2
    min_speech: float = 0.2
    onset: float = 0.08
    barge_in: bool = True
    barge_in_confirm: float = 0.3
    barge_in_release: float = 0.4
    continuation: float = 0.6
    pre_roll: float = 0.3
    partial_every: float = 0.6
    max_turn: float = 120.0
    deaf_after: float = 0.5
