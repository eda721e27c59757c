"""The two ends of a conversation, as it sees them: a microphone and a speaker.

Live devices (:mod:`audio_io.live.microphone`, :mod:`audio_io.live.speaker`) and files
(:mod:`audio_io.file_endpoints`) are both endpoints, so that live mode and file mode are the same
conversation. One *tick* is one frame: 320 user samples at 16 kHz, 20 ms, in the time of which 480
samples at 24 kHz are played.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

from audio_io.signal import Audio, Position


@dataclass(frozen=True, slots=True)
class EndpointStatus:
    """Health of an endpoint. ``device`` is its name, ``dropped`` and ``starved`` count samples lost
    to a full queue and blocks played as silence in mid-reply, ``message`` says what is wrong now
    ("microphone unplugged: waiting for it"), or is empty."""

    device: str
    dropped: int = 0
    starved: int = 0
    message: str = ""


class Microphone(Protocol):
    """Where the user's audio comes from."""

    def start(self) -> None:
        """Begin to capture. Raises: AudioError."""

    def read(self, timeout: float) -> Audio | None:
        """The next frame: float32, shape (320,), 16 kHz. Waits ``timeout`` seconds at most.

        None: nothing came in time (see :attr:`ended`).
        """

    @property
    def ended(self) -> bool:
        """Whether no frame will ever come again."""

    @property
    def status(self) -> EndpointStatus:
        """How it is doing."""

    def close(self) -> None:
        """Stop. Safe to call twice."""


class Speaker(Protocol):
    """Where the assistant's audio goes to."""

    def start(self) -> None:
        """Begin to play (silence, until something is queued). Raises: AudioError."""

    def play(self, reply: int, samples: Audio) -> None:
        """Queue ``samples`` (float32 mono 24 kHz) of reply ``reply``."""

    def duck(self) -> None:
        """Play on at a lower level, at once."""

    def hold(self) -> None:
        """Fall silent and stand still: nothing that is queued is lost."""

    def resume(self) -> None:
        """Go on from where it stands, at the full level."""

    def stop(self) -> None:
        """Fall silent within a few milliseconds and drop what is queued."""

    def tick(self) -> Audio:
        """What was heard in the time of one frame: float32, shape (480,), 24 kHz.

        Called once for every frame of the microphone, so that the result is the assistant's audio
        on the user's clock: the reference for echo cancellation and the recording's right channel.
        """

    @property
    def played(self) -> Position:
        """How far the replies have really been heard."""

    @property
    def status(self) -> EndpointStatus:
        """How it is doing."""

    def close(self) -> None:
        """Stop. Safe to call twice."""
