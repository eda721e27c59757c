"""The microphone: a live input device.

The device runs at its own rate and channels; its callback copies into a ring of 5 s. The reading
thread mixes the channels (:mod:`audio_io.channels`) and resamples. While the device is gone, or
reopened and delivers nothing yet, silence at the pace of the wall clock takes its place, so that
the conversation and its recording go on until the device returns or is replaced by the system's
default (:mod:`audio_io.live.recovery`).
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence

import numpy as np

from audio_io.channels import ChannelMix
from audio_io.clock import FRAME, FRAME_S, LONGEST_CATCH_UP_S, USER_RATE
from audio_io.ends import DeviceStatus
from audio_io.live.devices import Backend, permission_hint
from audio_io.live.line import DeviceLine
from audio_io.live.recovery import Connection, Runner, in_thread
from audio_io.resample import StreamResampler
from audio_io.signal import Audio

_POLL_S = 0.005
_ZEROS_S = 3.0


class LiveMicrophone:
    """The input device ``device``: an id, a unique part of its name, or "" for the default.

    ``channels``: its inputs to use, see :class:`audio_io.channels.ChannelMix`. Share one
    ``backend`` between microphone and speaker. Tests replace the rest.
    """

    def __init__(
        self,
        device: str = "",
        backend: Backend | None = None,
        *,
        channels: Sequence[int] = (),
        clock: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], None] = time.sleep,
        run: Runner = in_thread,
    ) -> None:
        self._device = Connection("input", device, backend, clock, run)
        self._clock = clock
        self._sleep = sleep
        self._channels = channels
        self._mix = ChannelMix(1, USER_RATE)
        self._resampler = StreamResampler(USER_RATE, USER_RATE)
        self._pending = np.zeros(0, np.float32)
        self._last = 0.0
        # Seconds of only zeros since the device was opened; -inf once there was sound.
        self._zeros = 0.0
        self._lost_frames = 0
        # Whether the device was reopened and has delivered nothing yet.
        self._reopened = False
        self.ended = False
        """Whether it was closed. A device that is gone may still return."""

    def start(self) -> None:
        """Open the device. Raises: DeviceError; AudioError when a channel is missing."""
        self._take(self._device.open(), self._channels)

    def read(self, timeout: float) -> Audio | None:
        """See :meth:`audio_io.ends.Microphone.read`."""
        deadline = self._clock() + timeout
        while not self.ended:
            now = self._clock()
            self._collect(now)
            if len(self._pending) >= FRAME:
                frame, self._pending = self._pending[:FRAME], self._pending[FRAME:]
                return frame
            if now >= deadline:
                return None
            self._sleep(min(_POLL_S, deadline - now))
        return None

    @property
    def status(self) -> DeviceStatus:
        """The device, the 16 kHz samples lost to a full ring, and the current problem."""
        line = self._device.line
        lost = self._lost_frames
        if line is not None:
            lost += round(line.ring.overrun * USER_RATE / line.rate)
        message = self._device.message
        if not message and self._zeros >= _ZEROS_S:
            message = f"the microphone delivers only zeros: {permission_hint()}"
        return DeviceStatus(device=self._device.name, dropped=lost, message=message)

    @property
    def waiting(self) -> float:
        """How many seconds were captured and not read yet."""
        line = self._device.line
        captured = 0.0 if line is None else line.ring.filled / line.rate
        return captured + len(self._pending) / USER_RATE

    def close(self) -> None:
        """Release the device. Safe to call twice."""
        self.ended = True
        self._device.detach()()

    def _take(self, line: DeviceLine, channels: Sequence[int]) -> None:
        self._mix = ChannelMix(line.ring.channels, line.rate, channels)
        self._resampler = StreamResampler(line.rate, USER_RATE, low_latency=True)
        self._last = self._clock()

    def _collect(self, now: float) -> None:
        """Append what was captured, or silence in its place, to the pending samples."""
        line = self._device.line
        if line is not None:
            captured = line.ring.read()
            if len(captured):
                self._last = now
                self._reopened = False
                self._append(line, self._mix.process(captured))
            elif self._reopened:
                self._fill_gap(now)
            if self._device.check(now) is not None:
                self._lost_frames += round(line.ring.overrun * USER_RATE / line.rate)
                self._pending = np.concatenate([self._pending, self._resampler.flush()])
        if self._device.recovering:
            self._fill_gap(now)
            found = self._device.poll(now)
            if found is not None and self._device.attach(found):
                # Another device may lack the chosen channels.
                known = max(self._channels, default=0) <= found.ring.channels
                self._take(found, self._channels if known else ())
                self._reopened = True
                if self._device.replaced:
                    self._zeros = 0.0

    def _append(self, line: DeviceLine, mono: Audio) -> None:
        # A closed privacy gate delivers exact zeros, which no real microphone does in a silent
        # room. After the first sound they are fine: some headsets are zero between words.
        self._zeros = -np.inf if mono.any() else self._zeros + len(mono) / line.rate
        self._pending = np.concatenate([self._pending, self._resampler.process(mono)])

    def _fill_gap(self, now: float) -> None:
        # After the machine slept for hours, do not catch up on hours of silence.
        self._last = max(self._last, now - LONGEST_CATCH_UP_S)
        due = int((now - self._last) / FRAME_S + 1e-6)
        if due > 0:
            self._last += due * FRAME_S
            self._pending = np.concatenate([self._pending, np.zeros(due * FRAME, np.float32)])
