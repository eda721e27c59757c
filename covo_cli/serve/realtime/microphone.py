"""The microphone of a session: fed by a client, clocked by the server.

An engine counts time in frames, and clients send as they please: steadily, a whole question at
once, or nothing while nobody speaks. Sound is handed on as it comes, at most five times as fast as
it was spoken; after :data:`GAP_S` without any, silence takes its place at the speed of life.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable

import numpy as np

from audio_io.clock import FRAME, FRAME_S, USER_RATE, samples, seconds
from audio_io.ends import DeviceStatus
from audio_io.signal import Audio
from covo_cli.serve.realtime.sound import SoundQueue

GAP_S = 0.2
"""Silence takes over when nothing has come for this long."""

UNHEARD_S = 60.0
"""Most sound that may wait to be heard."""

_BURST_S = FRAME_S / 5
"""Least time between two frames: below a server's tick, which so makes it four times."""

LATE_S = FRAME_S
"""A frame handed on this long after it was due is late."""

_REMEMBERED = 1000
"""Silences whose place is remembered."""


class SocketMicrophone:
    """A :class:`audio_io.ends.Microphone` that is never waited for. Thread-safe; ``clock`` returns
    seconds.

    ``late`` is called for each frame that is handed on more than :data:`LATE_S` after it was due.
    ``steady``: no sound is handed on faster than it was spoken, but to make up for a delay.
    """

    def __init__(
        self,
        clock: Callable[[], float] = time.monotonic,
        late: Callable[[], None] = lambda: None,
        *,
        steady: bool = False,
    ) -> None:
        self._steady = steady
        self._clock = clock
        self._late = late
        self._lock = threading.Lock()
        self._waiting = SoundQueue()
        self._kept = SoundQueue()
        self._arrived = self._given = self._spoken = self._whole_since = self._begun = clock()
        self._silent_frames = 0
        self._at = 0
        self._silences: list[tuple[int, int]] = []  # start and length, in frames' samples
        self._earlier = 0
        self.ended = False
        """Whether it was closed."""

    def start(self) -> None:
        """Do nothing: the client is there already."""

    def push(self, sound: Audio, *, manual: bool = False) -> bool:
        """Add ``sound`` (float32 mono 16 kHz); return whether there was room for all of it.

        ``manual``: keep it for :meth:`whole` instead of handing it on; there is room for the latest
        :data:`UNHEARD_S`, because clients send sound between their turns, too.
        """
        with self._lock:
            if manual:
                self._kept.put(sound)
                self._kept.take(max(0, self._kept.length - samples(UNHEARD_S)))
                return True
            room = samples(UNHEARD_S) - self._waiting.length
            fitting = sound[: max(0, room)]
            if not len(fitting):  # nothing came: silence may be due
                return not len(sound)
            self._arrived = self._clock()
            if self._waiting.length < FRAME:
                self._whole_since = self._arrived
            self._waiting.put(fitting)
        return len(fitting) == len(sound)

    def whole(self, least: float) -> Audio | None:
        """Return what was kept, and keep it no longer; None, if it is less than ``least`` s."""
        with self._lock:
            if self._kept.length < samples(least):
                return None
            return self._kept.take(self._kept.length)

    @property
    def behind(self) -> bool:
        """Whether sound that was pushed waits to be heard."""
        with self._lock:
            return self._waiting.length >= FRAME

    def clear(self) -> None:
        """Drop what waits to be heard, or is kept."""
        with self._lock:
            self._waiting.clear()
            self._kept.clear()

    def wake(self) -> None:
        """Wait for sound no longer: a command is to be carried out with the next frame."""
        with self._lock:
            self._arrived = self._clock() - GAP_S

    def read(self, timeout: float = 0.0) -> Audio | None:
        """Return the next frame if it is due, whatever ``timeout``."""
        with self._lock:
            now, due = self._clock(), self._due()
            if self.ended or due > now:
                return None
            if self._at and now - due > LATE_S:
                self._late()
            return self._take(now)

    @property
    def due(self) -> float:
        """When the next frame may be taken, or the end noticed, by ``clock``."""
        with self._lock:
            return 0.0 if self.ended else self._due()

    def appended_ms(self, at: int) -> int:
        """Return where ``at`` (the engine's samples) lies in the sound that was pushed, in ms."""
        with self._lock:
            silent = self._earlier
            for start, length in self._silences:
                silent += min(length, max(0, at - start))
        return max(0, (at - silent) * 1000 // USER_RATE)

    @property
    def status(self) -> DeviceStatus:
        """Its name."""
        return DeviceStatus(device="a client")

    def close(self) -> None:
        """End the conversation. Safe to call twice."""
        self.ended = True

    def _due(self) -> float:
        """Return when the next frame may be taken."""
        soonest = self._given + _BURST_S
        if self._steady:
            soonest = max(soonest, self._begun + seconds(self._at))
        if self._waiting.length >= FRAME:
            return max(soonest, self._whole_since)
        silent = self._spoken + (self._silent_frames + 1) * FRAME_S
        return max(soonest, self._arrived + GAP_S, silent)

    def _take(self, now: float) -> Audio:
        self._given = now
        heard = self._waiting.take(FRAME)
        frame = np.zeros(FRAME, np.float32)
        frame[: len(heard)] = heard
        if len(heard) < FRAME:
            self._silent_frames += 1
            self._note_silence(self._at + len(heard), FRAME - len(heard))
        else:
            self._silent_frames, self._spoken = 0, now
        self._at += FRAME
        return frame

    def _note_silence(self, start: int, length: int) -> None:
        if self._silences and sum(self._silences[-1]) == start:
            start, before = self._silences.pop()
            length += before
        self._silences.append((start, length))
        if len(self._silences) > _REMEMBERED:
            self._earlier += self._silences.pop(0)[1]
