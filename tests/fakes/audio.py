"""A sound system without sound: its devices do what the test says, on the test's clock."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from audio_io.errors import DeviceError
from audio_io.live.devices import Callback, Device, Kind

USB = Device(0, "USB Headset", "ALSA", 1, 2, 48_000)
BUILT_IN = Device(1, "Built-in Audio", "ALSA", 2, 2, 44_100, True, True)


class FakeClock:
    """Seconds that pass only when someone sleeps."""

    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now

    def sleep(self, seconds: float) -> None:
        self.now += seconds


class FakeStream:
    """A stream whose callback the test calls."""

    def __init__(self, device: Device, kind: Kind, callback: Callback, latency: float) -> None:
        self.device = device
        self.kind = kind
        self.rate = device.rate
        self.channels = device.inputs if kind == "input" else min(2, device.outputs)
        self.latency = latency
        self.started = False
        self.broken = False
        self.closed = False
        self._callback = callback

    def start(self) -> None:
        self.started = True

    @property
    def active(self) -> bool:
        return self.started and not self.closed and not self.broken

    def close(self) -> None:
        self.closed = True

    def capture(self, sound: np.ndarray) -> None:
        """The device hears ``sound``: one for each channel, or the same on all."""
        frames = np.empty((len(sound), self.channels), np.float32)
        frames[:] = sound if sound.ndim == 2 else sound[:, None]
        self._callback(frames)
        frames[:] = np.nan  # a callback that kept a reference instead of a copy would notice

    def play(self, n: int) -> np.ndarray:
        """The device plays ``n`` frames; what its first channel got."""
        out = np.full((n, self.channels), np.nan, np.float32)
        self._callback(out)
        np.testing.assert_array_equal(out, np.repeat(out[:, :1], self.channels, axis=1))
        return out[:, 0].copy()


class FakeBackend:
    """A sound system with ``present`` devices; a device can be made to refuse."""

    def __init__(self, *present: Device, latency: float = 0.03) -> None:
        self.present = list(present)
        self.visible: Sequence[Device] = list(present)
        self.refusing: set[str] = set()
        self.opened: list[FakeStream] = []
        self.rescans = 0
        self.latency = latency

    def devices(self) -> Sequence[Device]:
        return self.visible

    def open(self, device: Device, kind: Kind, callback: Callback) -> FakeStream:
        if device not in self.present or device.name in self.refusing:
            raise DeviceError(f"{device.name} refuses")
        stream = FakeStream(device, kind, callback, self.latency)
        self.opened.append(stream)
        return stream

    def rescan(self) -> None:
        """As PortAudio: the list is made anew and all streams are closed."""
        self.rescans += 1
        self.visible = list(self.present)
        for stream in self.opened:
            stream.close()

    @property
    def stream(self) -> FakeStream:
        """The stream that was opened last."""
        return self.opened[-1]
