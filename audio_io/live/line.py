"""An open device, and the ring between its callback and the rest of the program."""

from __future__ import annotations

from audio_io.errors import DeviceError
from audio_io.live.devices import Backend, Device, Kind, Stream
from audio_io.live.ring import Frames, Ring

CAPACITY_S = 5.0
_STALL_S = 0.5
_GRACE_S = 3.0
"""Time after opening in which a stall is normal: PulseAudio may take a second."""


class DeviceLine:
    """Opens and starts ``device``, with a ring of 5 s beside its callback.

    An input fills :attr:`ring` with all its channels; an output plays :attr:`ring`'s one channel on
    all of its own. The callback only copies and counts. Raises: DeviceError.
    """

    def __init__(self, backend: Backend, device: Device, kind: Kind) -> None:
        self.device = device
        self._calls = 0
        self._seen = 0
        self._seen_at: float | None = None
        self._opened_at: float | None = None
        capturing = kind == "input"
        # Opened before the ring is made, because only then its channels are known.
        self._stream: Stream = backend.open(
            device, kind, self._capture if capturing else self._play
        )
        self.rate = self._stream.rate
        self.latency = self._stream.latency
        self.ring = Ring(round(CAPACITY_S * self.rate), self._stream.channels if capturing else 1)
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
        """Return whether the device still calls back; in its first 3 s it need not.

        Call this regularly; ``now`` is in seconds on any steady clock.
        """
        if self._seen_at is None or self._opened_at is None:
            self._seen_at = self._opened_at = now
        if self._calls != self._seen:
            self._seen, self._seen_at = self._calls, now
        young = now - self._opened_at < _GRACE_S
        return self._stream.active and (young or now - self._seen_at < _STALL_S)

    def close(self) -> None:
        """Release the device. Safe to call twice."""
        self._stream.close()
