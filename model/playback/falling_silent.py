"""The silence that a speaker was asked for."""

from __future__ import annotations

STILL_FRAMES = 6
"""Frames (0.12 s) without progress after which a speaker is silent: some devices take 0.1 s of
sound at a time."""

MOST_FRAMES = 25
"""Frames after which a speaker that still claims to play is not waited for any longer."""


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
