"""Simulate a room: its microphone hears the user, noise and the loudspeaker's echo."""

from __future__ import annotations

import numpy as np

from audio_io.acoustics.echo_path import EchoPath
from audio_io.clock import ASSISTANT_RATE, FRAME, USER_RATE
from audio_io.ends import DeviceStatus, Microphone
from audio_io.files import AudioWriter
from audio_io.resample import FrameResampler
from audio_io.signal import Audio
from covo_cli.conversation.consumer import Tick


class Room:
    """The microphone of a room in which ``user`` speaks; a consumer, to learn what was played.

    ``echo``: the path from the loudspeaker, whose delay includes the one frame (20 ms) that a sound
    takes at least; None: headphones. ``noise``: 16 kHz, looped. ``recording`` gets what the
    microphone hears; :meth:`close` completes it.
    """

    def __init__(
        self,
        user: Microphone,
        echo: EchoPath | None = None,
        noise: Audio | None = None,
        recording: AudioWriter | None = None,
    ) -> None:
        self._user = user
        self._path = echo
        self._noise = noise
        self._recording = recording
        self._resampler = FrameResampler(ASSISTANT_RATE, USER_RATE, FRAME)
        self._echo = np.zeros(FRAME, np.float32)
        self._at = 0

    def start(self) -> None:
        """Start the user."""
        self._user.start()

    def read(self, timeout: float) -> Audio | None:
        """Return the next frame of user, noise and echo. Raises: AudioFileError."""
        frame = self._user.read(timeout)
        if frame is None:
            return None
        heard = frame + self._echo
        if self._noise is not None:
            heard += np.take(self._noise, range(self._at, self._at + FRAME), mode="wrap")
        self._at += FRAME
        if self._recording is not None:
            self._recording.write(heard)
        return heard

    def on_tick(self, tick: Tick) -> None:
        """Play the assistant's sound into the room."""
        if self._path is not None:
            self._echo = self._path.process(self._resampler.process(tick.assistant))

    @property
    def ended(self) -> bool:
        """Whether the user is closed."""
        return self._user.ended

    @property
    def status(self) -> DeviceStatus:
        """The user's status."""
        return self._user.status

    def close(self) -> None:
        """Stop. Safe to call twice. Raises: AudioFileError."""
        self._user.close()
        recording, self._recording = self._recording, None
        if recording is not None:
            recording.close()
