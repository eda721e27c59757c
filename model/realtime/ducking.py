"""Lower a reply at once when the user speaks over it, until the server has decided."""

from __future__ import annotations

from audio_io.clock import samples
from model.events import PlaybackAction, PlaybackControl
from model.hearing.hearing import Hearing
from model.realtime.remote_replies import RemoteReply

WAIT_S = 0.6
"""Longest ducking without a word from the server: then it has heard no speech."""

_REASON = "speech over the reply"


class LocalDucking:
    """Ducks by the local detector; a server's own word takes a network's time longer."""

    def __init__(self, hearing: Hearing) -> None:
        self._hearing = hearing
        self._since: int | None = None
        self._spent = False  # this speech has ducked once

    def watch(self, now: int, reply: RemoteReply | None) -> list[PlaybackControl]:
        """Return what to do with ``reply``, the one that can be heard, at ``now``."""
        if not self._hearing.run:
            self._spent = False
        if reply is None:
            self._since = None
            return []
        if self._since is None:
            if self._spent or not self._hearing.speech_began:
                return []
            self._since, self._spent = now, True
            return [PlaybackControl(now, reply.reply_id, PlaybackAction.DUCK, _REASON)]
        if now - self._since < samples(WAIT_S):
            return []
        self._since = None
        reason = "the server heard no speech"
        return [PlaybackControl(now, reply.reply_id, PlaybackAction.RESUME, reason)]
