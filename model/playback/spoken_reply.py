"""A reply being played: its text and sound so far, and how much of it was heard."""

from __future__ import annotations

from collections.abc import Mapping

from audio_io.clock import ASSISTANT_RATE, USER_RATE, samples, seconds
from audio_io.signal import NOTHING_PLAYED, Audio, Position
from model.events import AssistantAudio, AssistantText, Event, ReplyAudioEnded
from model.playback.spoken_text import SpokenText
from model.reply import Heard

STALLED_S = 2.0
"""Give up a complete reply after this time in which the speaker had sound of it and stood still."""

_STILL_FRAMES = 6
"""Consider a stopped speaker silent after this many frames (0.12 s) without progress: some devices
take 0.1 s of sound at a time."""

_MOST_FRAMES = 25
"""Stop waiting for a stopped speaker after this many frames (0.5 s), even if it still plays."""


class SpokenReply:
    """Collects reply ``reply_id`` to turn ``turn``, emits it as events and follows the speaker.

    Text and sound are held back until :meth:`take` is called. Times are user samples, lengths
    samples at 24 kHz. ``cushion``: length of the silence before its first sound.
    """

    def __init__(self, reply_id: int, turn: int, *, speaks: bool = True, cushion: int = 0) -> None:
        self.reply_id = reply_id
        self.turn = turn
        self.cushion = cushion
        self.first_text_at: int | None = None
        self.first_audio_at: int | None = None
        self.first_heard_at: int | None = None
        self.heard = 0
        """How much of it was played."""
        self.heard_at_most: int | None = None
        """Most of it that was heard, as reported by a client that plays it."""
        self.held = False
        """Whether the speaker was asked to stand still."""
        self.complete = False
        """Whether no more parts will be added."""
        self.stopped = False
        """Whether the speaker was told to drop its queue."""
        self._text = SpokenText(speaks=speaks)
        self._waiting: list[tuple[str, Audio | None]] = []
        self._released_at: int | None = None
        self._moved_at = 0
        self._given = 0
        self._position = NOTHING_PLAYED
        self._end_told = False
        self._still = 0
        self._stopped_frames = 0

    @property
    def text(self) -> str:
        """The text written so far."""
        return self._text.written

    @property
    def samples(self) -> int:
        """The length of its sound so far."""
        return self._text.samples

    def write(self, now: int, delta: str) -> None:
        """Add text."""
        if self.first_text_at is None:
            self.first_text_at = now
        self._text.write(delta)
        self._wait(delta, None)

    def say(self, now: int, sound: Audio, text: str) -> None:
        """Add ``sound`` (float32 mono 24 kHz), which says ``text``, unless it was stopped."""
        if self.stopped:
            return
        if self.first_audio_at is None and len(sound):
            self.first_audio_at = now
        self._text.say(len(sound), text)
        if len(sound):
            self._wait(text, sound)

    def end(self, *, whole: bool = True) -> None:
        """Mark the end. ``whole``: no part is missing."""
        self.complete = True
        self._text.complete = whole

    def take(self, now: int) -> list[Event]:
        """Return what was added since the last call, and the end of the sound, as events."""
        events: list[Event] = []
        if self._released_at is None:
            self._released_at = self._moved_at = now
        for text, sound in self._waiting:
            if sound is None:
                events.append(AssistantText(now, self.reply_id, text))
            else:
                self._given += len(sound)
                events.append(AssistantAudio(now, self.reply_id, sound, text))
        self._waiting.clear()
        if self.complete and not (self._end_told or self.stopped):
            self._end_told = True
            events.append(ReplyAudioEnded(now, self.reply_id, self.samples))
        return events

    def follow(self, now: int, position: Position) -> bool:
        """Update what was played by ``now``; return whether its first sound was among it."""
        heard = self.heard
        if position.reply_id == self.reply_id:
            heard = max(heard, position.samples)
        elif position.reply_id > self.reply_id:
            heard = self.samples
        self._still = 0 if heard > self.heard else self._still + 1
        if self.stopped:
            self._stopped_frames += 1
        earlier = position.reply_id < self.reply_id and position != self._position
        if heard > self.heard or earlier or self.held or heard >= self._given:
            self._moved_at = now
        self.heard, self._position = heard, position
        if self.first_heard_at is not None or heard <= self.cushion:
            return False
        played = (heard - self.cushion) * USER_RATE // ASSISTANT_RATE
        self.first_heard_at = max(now - played, self._released_at or 0)
        return True

    def stop(self) -> None:
        """Drop what :meth:`take` has not returned yet; the caller stops the speaker."""
        self.stopped = True
        self._still = 0
        self._waiting.clear()

    @property
    def finished(self) -> bool:
        """Whether it was heard to its end."""
        return self.complete and self.heard >= self.samples

    def stalled(self, now: int) -> bool:
        """Return whether the speaker stopped before the end. It never should; this keeps the
        conversation from waiting forever. Time without sound to play does not count."""
        return self.complete and now - self._moved_at >= samples(STALLED_S)

    @property
    def silent(self) -> bool:
        """Whether the speaker has gone quiet after :meth:`stop`, so that ``heard`` is final."""
        return self.stopped and (
            self._still >= _STILL_FRAMES or self._stopped_frames >= _MOST_FRAMES
        )

    def split(self) -> Heard:
        """Split its text at the point where playback is."""
        most = self.heard if self.heard_at_most is None else self.heard_at_most
        return self._text.split(min(self.heard, most))

    def _wait(self, text: str, sound: Audio | None) -> None:
        if not self.stopped:
            self._waiting.append((text, sound))


def latency_parts(since: int, marks: Mapping[str, int | None]) -> dict[str, float]:
    """Return the seconds from ``since`` through ``marks`` (user samples, in order of time), by
    name. They add up; a mark that is unknown or before an earlier one counts as 0."""
    parts: dict[str, float] = {}
    for name, at in marks.items():
        after = since if at is None else max(since, at)
        parts[name] = seconds(after - since)
        since = after
    return parts
