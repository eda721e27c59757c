"""An open device with the ring between its callback and the rest of the program."""

from __future__ import annotations

from audio_io.errors import DeviceError
from audio_io.live.devices import Backend, Device, Kind, Stream
from audio_io.live.ring import Frames, Ring

_CAPACITY_SECONDS = 5.0
_STALL_SECONDS = 0.5
_GRACE_SECONDS = 3.0
"""A stream that was just opened may stall for a second (PulseAudio does) and be none the worse."""


class Line:
    """Opens ``device`` and starts it. What it captures fills :attr:`ring`, with all its channels;
    what it plays comes from :attr:`ring`, one channel for all.

    The callback copies and counts, nothing else. The ring holds 5 s. Raises: DeviceError.
    """

    def __init__(self, backend: Backend, device: Device, kind: Kind) -> None:
        self.device = device
        self._calls = 0
        self._seen = 0
        self._seen_at: float | None = None
        self._opened_at: float | None = None
        capturing = kind == "input"
        # The number of channels is known once the device is open, and it calls back once started.
        self._stream: Stream = backend.open(
            device, kind, self._capture if capturing else self._play
        )
        self.rate = self._stream.rate
        self.latency = self._stream.latency
        self.ring = Ring(
            round(_CAPACITY_SECONDS * self.rate), self._stream.channels if capturing else 1
        )
        try:
            self._stream.start()
        except DeviceError:
            self._stream.close()
            raise

    def _capture(self, frames: Frames) -> None:
        self.ring.write(frames)
        self._calls += 1

    def _play(self, frames: Frames) -> None:
        self.ring.read_into(frames)
        self._calls += 1

    def alive(self, now: float) -> bool:
        """Whether it calls back, which it need not do in its first 3 s.

        Ask regularly, with the time in seconds on any steady clock.
        """
        if self._seen_at is None or self._opened_at is None:
            self._seen_at = self._opened_at = now
        if self._calls != self._seen:
            self._seen, self._seen_at = self._calls, now
        young = now - self._opened_at < _GRACE_SECONDS
        return self._stream.active and (young or now - self._seen_at < _STALL_SECONDS)

    def close(self) -> None:
        """Release the device. Safe to call twice."""
        self._stream.close()
