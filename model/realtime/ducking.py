"""Lower a reply at once when the user speaks over it, until the server has decided."""

from __future__ import annotations

from audio_io.clock import samples
from model.events import PlaybackAction
from model.hearing.hearing import Hearing
from model.realtime.talk import RemoteTalk

WAIT_S = 0.6
"""Longest ducking without a word from the server: then it has heard no speech."""


class LocalDucking:
    """Ducks by the local detector; a server's own word takes a network's time longer."""

    def __init__(self, hearing: Hearing) -> None:
        self._hearing = hearing
        self._since: int | None = None
        self._spent = False  # this speech has ducked once

    def watch(self, talk: RemoteTalk) -> None:
        """Lower or raise the reply that can be heard, if there is one."""
        reply = talk.replies.sounding
        if not self._hearing.run:
            self._spent = False
        if reply is None:
            self._since = None
        elif self._since is None:
            if self._hearing.speech_began and not self._spent:
                self._since, self._spent = talk.now, True
                talk.control(reply, PlaybackAction.DUCK, "speech over the reply")
        elif talk.now - self._since >= samples(WAIT_S):
            self._since = None
            talk.control(reply, PlaybackAction.RESUME, "the server heard no speech")
