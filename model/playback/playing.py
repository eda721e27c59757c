"""A reply that is being heard: handing on its parts, and following the speaker to its end."""

from __future__ import annotations

from collections.abc import Iterator

from audio_io.clock import samples
from audio_io.signal import Position
from model.events import AssistantAudio, AssistantText, Event, ReplyAudioEnded, TurnLatency
from model.playback.reply_run import ReplyRun
from model.reply import ReplyAudio

STALLED = 2.0
"""Seconds without progress after which a reply that is not played to its end is given up."""


class Playing:
    """Reply ``reply``, let through to the speaker at time ``now`` (user samples).

    ``heard``: samples (24 kHz) of it that were really played. ``held``: the speaker was asked to
    stand still.
    """

    def __init__(self, reply: ReplyRun, now: int) -> None:
        self.reply = reply
        self.held = False
        self.heard = 0
        self._now = self._moved_at = now
        self._ended = False

    def update(self, now: int, playback: Position) -> Iterator[Event]:
        """Hand on what was made, and take note of what was played by ``now``."""
        self._now = now
        reply = self.reply
        for part in reply.take():
            if isinstance(part, ReplyAudio):
                yield AssistantAudio(now, reply.number, part.samples, part.text)
            else:
                yield AssistantText(now, reply.number, part.delta)
        if reply.complete and not self._ended:
            self._ended = True
            yield ReplyAudioEnded(now, reply.number, reply.samples)
        if reply.heard(now, self.follow(now, playback)):
            parts = reply.latency()
            yield TurnLatency(now, reply.turn, reply.number, sum(parts.values()), parts)

    def follow(self, now: int, playback: Position) -> int:
        """Take note of what was played by ``now``, in all; return it."""
        heard = playback.samples if playback.reply_id == self.reply.number else 0
        if heard > self.heard or self.held:
            self._moved_at = now
        self.heard = max(heard, self.heard)
        return self.heard

    @property
    def finished(self) -> bool:
        """Whether it was heard to its end."""
        return self.reply.complete and self.heard >= self.reply.samples

    @property
    def stalled(self) -> bool:
        """Whether the speaker has stopped short of its end. No speaker should do this; but then
        the conversation must not wait for ever."""
        return self.reply.complete and self._now - self._moved_at >= samples(STALLED)
