"""The two ends of a conversation: protocols for a microphone and a speaker.

Live devices (:mod:`audio_io.live`) and files (:mod:`audio_io.file_ends`) implement both, so
live mode and file mode are the same conversation. One *tick* is one frame of 20 ms: 320 user
samples at 16 kHz, while 480 samples at 24 kHz are played.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

from audio_io.signal import Audio, Position


@dataclass(frozen=True, slots=True)
class DeviceStatus:
    """Health of a microphone or speaker.

    ``dropped`` counts samples lost to a full queue, ``starved`` blocks played as silence in
    mid-reply, ``gaps`` those silences that a listener hears. ``message`` is the current problem, or
    empty.
    """

    device: str
    dropped: int = 0
    starved: int = 0
    gaps: int = 0
    message: str = ""


class Microphone(Protocol):
    """Source of the user's audio."""

    def start(self) -> None:
        """Start capturing. Raises: AudioError."""

    def read(self, timeout: float) -> Audio | None:
        """Return the next frame (float32, shape (320,), 16 kHz), or None after ``timeout`` s."""

    @property
    def ended(self) -> bool:
        """Whether there will be no more frames."""

    @property
    def status(self) -> DeviceStatus:
        """Its health."""

    def close(self) -> None:
        """Stop. Safe to call twice."""


class Speaker(Protocol):
    """Sink of the assistant's audio."""

    def start(self) -> None:
        """Start playing, silence at first. Raises: AudioError."""

    def play(self, reply_id: int, samples: Audio) -> None:
        """Queue ``samples`` (float32 mono 24 kHz) of reply ``reply_id``."""

    def duck(self) -> None:
        """Continue at a lower level, at once."""

    def hold(self) -> None:
        """Fall silent and stand still; the queue is kept."""

    def resume(self) -> None:
        """Continue from where it stands, at full level."""

    def stop(self) -> None:
        """Fall silent within a few milliseconds and drop the queue."""

    def tick(self) -> Audio:
        """Return what was played during one frame: float32, shape (480,), 24 kHz.

        Called once per microphone frame, so it puts the assistant's audio on the user's clock, for
        echo cancellation and the recording's right channel. Raises: AudioError.
        """

    @property
    def played(self) -> Position:
        """How far the replies have really been played."""

    @property
    def status(self) -> DeviceStatus:
        """Its health."""

    def close(self) -> None:
        """Stop. Safe to call twice."""
