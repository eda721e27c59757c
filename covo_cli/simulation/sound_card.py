"""Simulate a sound card whose devices come, go and stall, for microphone and speaker."""

from __future__ import annotations

import threading
import time
from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from audio_io.clock import FRAME, FRAME_S, USER_RATE
from audio_io.ends import Microphone
from audio_io.errors import DeviceError
from audio_io.live.devices import LATENCY_S, Callback, Device, Kind
from audio_io.live.microphone import LiveMicrophone
from audio_io.live.recovery import Runner, in_thread
from audio_io.live.speaker import LiveSpeaker
from audio_io.resample import FrameResampler
from audio_io.signal import Audio

HEADSET = Device(0, "Headset", "simulated", 1, 2, 48_000)
BUILT_IN = Device(1, "Built-in Audio", "simulated", 2, 2, 44_100)

_LONGEST_CATCH_UP_S = 1.0
_ROUNDING_S = 1e-6


class SoundCard:
    """A :class:`~audio_io.live.devices.Backend` on which ``user`` speaks and nobody listens.

    It works while somebody sleeps on it (:meth:`sleep`), one frame (20 ms) at a time. ``paced``: in
    real time; otherwise time passes only by :meth:`sleep`. The user goes on talking while a device
    is gone. The first device that is plugged in is the system's default.
    """

    def __init__(
        self, user: Microphone, *, paced: bool, devices: Sequence[Device] = (HEADSET, BUILT_IN)
    ) -> None:
        self._user = user
        self._paced = paced
        self._devices = tuple(devices)
        self._gone: set[str] = set()
        self._stalled: set[str] = set()
        self._listed = self._plugged_in()
        self._streams: tuple[SimulatedStream, ...] = ()
        self._lock = threading.Lock()  # devices are opened on other threads
        self._now = 0.0
        self._worked: float | None = None

    def clock(self) -> float:
        """Return the time in seconds."""
        return time.monotonic() if self._paced else self._now

    def sleep(self, seconds: float) -> None:
        """Let ``seconds`` pass and do what is due."""
        if self._paced:
            time.sleep(seconds)
        else:
            self._now += seconds
        now = self.clock()
        at = now if self._worked is None else max(self._worked, now - _LONGEST_CATCH_UP_S)
        while at + FRAME_S <= now + _ROUNDING_S:
            at += FRAME_S
            self._work()
        self._worked = at

    def unplug(self, name: str) -> None:
        """Take the device ``name`` away."""
        self._gone.add(name)

    def plug_in(self, name: str) -> None:
        """Bring the device ``name`` back; it is listed after the next scan."""
        self._gone.discard(name)

    def stall(self, name: str) -> None:
        """Let the device ``name`` stop calling back."""
        self._stalled.add(name)

    def wake(self, name: str) -> None:
        """Let the device ``name`` call back again."""
        self._stalled.discard(name)

    def devices(self) -> Sequence[Device]:
        """Return the devices of the last scan."""
        return self._listed

    def open(self, device: Device, kind: Kind, callback: Callback) -> SimulatedStream:
        """Open ``device``. Raises: DeviceError when it is gone."""
        if device.name in self._gone:
            raise DeviceError(f"cannot open '{device.name}': it is gone")
        stream = SimulatedStream(device, kind, callback)
        with self._lock:
            self._streams = (*(s for s in self._streams if not s.closed), stream)
        return stream

    def rescan(self) -> None:
        """Scan for devices again, which closes every stream, as PortAudio does."""
        with self._lock:
            for stream in self._streams:
                stream.close()
            self._streams = ()
        self._listed = self._plugged_in()

    def _plugged_in(self) -> tuple[Device, ...]:
        present = [device for device in self._devices if device.name not in self._gone]
        return tuple(
            replace(device, default_input=device is present[0], default_output=device is present[0])
            for device in present
        )

    def _work(self) -> None:
        heard = self._user.read(0.0)
        frame = np.zeros(FRAME, np.float32) if heard is None else heard
        for stream in self._streams:
            name = stream.device.name
            if name in self._gone:
                stream.close()
            elif name not in self._stalled:
                stream.work(frame)


class SimulatedStream:
    """An open device of a :class:`SoundCard`."""

    def __init__(self, device: Device, kind: Kind, callback: Callback) -> None:
        self.device = device
        self.rate = device.rate
        self.channels = device.inputs if kind == "input" else min(2, device.outputs)
        self.latency = LATENCY_S
        self.closed = False
        self._capturing = kind == "input"
        self._callback = callback
        self._started = False
        self._block = round(device.rate * FRAME_S)
        self._resampler = FrameResampler(USER_RATE, device.rate, self._block)

    def start(self) -> None:
        """Start calling back."""
        self._started = True

    @property
    def active(self) -> bool:
        """Whether it may call back."""
        return self._started and not self.closed

    def close(self) -> None:
        """Stop. Safe to call twice."""
        self.closed = True

    def work(self, heard: Audio) -> None:
        """Call back with the frame ``heard``, or for one to play."""
        if not self.active:
            return
        frames = np.zeros((self._block, self.channels), np.float32)
        if self._capturing:
            frames[:] = self._resampler.process(heard)[:, None]
        self._callback(frames)


def card_ends(card: SoundCard, *, paced: bool) -> tuple[LiveMicrophone, LiveSpeaker]:
    """Return a live microphone, on the headset by name, and a speaker on the default device.

    They recover devices on threads if ``paced``, and otherwise within the microphone's ``read``.
    """
    run: Runner = in_thread if paced else lambda work: work()
    speaker = LiveSpeaker("", card, clock=card.clock, run=run, feeder=paced)

    def sleep(seconds: float) -> None:
        card.sleep(seconds)
        if not paced:
            speaker.pump()

    return LiveMicrophone(HEADSET.name, card, clock=card.clock, sleep=sleep, run=run), speaker
