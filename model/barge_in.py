"""Speech over a reply: what is known of it until it is confirmed, and the silence it asks for."""

from __future__ import annotations

from model.open_turn import OpenTurn

STILL_FRAMES = 6
"""Frames (0.12 s) without progress after which a speaker is silent: some devices take 0.1 s of
sound at a time."""

MOST_FRAMES = 25
"""Frames after which a speaker that still claims to play is not waited for any longer."""


class BargeIn:
    """Speech over a reply that may turn out to be an interruption, collected in ``turn``.

    ``voiced``: speech in it so far that belongs to the barge-in, in samples.
    """

    def __init__(self, turn: OpenTurn, voiced: int) -> None:
        self.turn = turn
        self._before = turn.voiced - voiced

    @property
    def voiced(self) -> int:
        """How much speech there was over the reply, in user samples."""
        return self.turn.voiced - self._before


class FallingSilent:
    """Watches a speaker that was told to stop: when it stands still, it is known what was heard.

    ``reason`` says why it was told to.
    """

    def __init__(self, heard: int, reason: str) -> None:
        self.reason = reason
        self._heard = heard
        self._still = 0
        self._frames = 0

    def silent(self, heard: int) -> bool:
        """Called once a frame with the samples heard so far; whether no more will be."""
        self._still = self._still + 1 if heard == self._heard else 0
        self._frames += 1
        self._heard = heard
        return self._still >= STILL_FRAMES or self._frames >= MOST_FRAMES
