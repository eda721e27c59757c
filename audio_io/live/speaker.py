"""The speaker: a live output device.

One output stream stays open and gets silence between replies, because opening one can take a
second. A feeder thread renders the :class:`~audio_io.playout.Playout` in blocks of 20 ms, resamples
them to the device's rate and keeps a ring of 60-80 ms full, from which the callback copies. The
ring grows on a machine that is too slow for it, and shrinks again after minutes without a miss.
Samples in the ring can be taken back, so a stop or the start of a reply waits for 30 ms of it only.
On a virtual sound card (PulseAudio, 2 shared vCPUs) a reply was heard 70 ms after
:meth:`LiveSpeaker.play`, and silence 80 ms after :meth:`LiveSpeaker.stop`, the device's own 40 ms
included.

Three indices run along the same endless stream of 24 kHz samples:

- *rendered*: how far the playout has been rendered into the ring;
- *delivered*: how far the device has taken it (the callback's count, mapped back to 24 kHz);
- *heard*: delivered, less the device's own latency. :attr:`LiveSpeaker.played` reports this one.

:meth:`LiveSpeaker.tick` follows *delivered* on the microphone's clock
(:mod:`audio_io.live.reference`).

While the device is gone, the playout goes on at the pace of the wall clock (a reply spoken to a
dead device counts as played) until the device returns or is replaced
(:mod:`audio_io.live.recovery`).
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable

from audio_io.clock import ASSISTANT_FRAME, ASSISTANT_RATE, LONGEST_CATCH_UP_S
from audio_io.ends import DeviceStatus
from audio_io.errors import AudioError
from audio_io.live.devices import Backend
from audio_io.live.line import DeviceLine
from audio_io.live.recovery import Connection, Runner, in_thread
from audio_io.live.reference import Reference
from audio_io.playout import PlayoutSpeaker
from audio_io.resample import StreamResampler
from audio_io.signal import Audio, Position
from audio_io.worker import Worker, details_hint, join_all

PUMP_S = 0.01
_RING_S = 0.06
_LONGEST_RING_S = 0.2
_RING_STEP_S = 0.02
_SHRINK_AFTER_S = 300.0
"""Time without a miss after which the ring shrinks by a step; every miss doubles it."""
_KEEP_S = 0.03
_FADE_S = 0.01
_CLOSE_S = 1.0
_RESTARTS = 3


class LiveSpeaker(PlayoutSpeaker):
    """The output device ``device``: an id, a unique part of its name, or "" for the default.

    Share one ``backend`` between microphone and speaker. Tests replace ``clock`` and ``run``, and
    without a ``feeder`` thread call :meth:`pump` themselves.
    """

    def __init__(
        self,
        device: str = "",
        backend: Backend | None = None,
        *,
        clock: Callable[[], float] = time.monotonic,
        run: Runner = in_thread,
        feeder: bool = True,
    ) -> None:
        super().__init__()
        self._clock = clock
        self._device = Connection("output", device, backend, clock, run)
        self._feeder = (
            Worker(self._feed, "speaker", restarts=_RESTARTS, on_failure=self._tell_failure)
            if feeder
            else None
        )
        self._lock = threading.Lock()
        self._closing = threading.Event()
        self._resampler = StreamResampler(ASSISTANT_RATE, ASSISTANT_RATE)
        self._ring_s = _RING_S
        self._shrink_after = _SHRINK_AFTER_S
        self._last_miss = clock()
        self._underruns = 0
        self._starved = 0
        self._epoch = 0
        self._clocked = 0.0
        self._heard = 0
        self._reference = Reference()

    def start(self) -> None:
        """Open the device and begin to feed it silence. Raises: DeviceError."""
        with self._lock:
            self._take(self._device.open())
        self.pump()
        if self._feeder is not None:
            self._feeder.start()

    def play(self, reply_id: int, samples: Audio) -> None:
        """See :meth:`audio_io.ends.Speaker.play`. Raises: AudioError when 300 s are queued.

        Takes back silence from the ring, so that a reply begins 30-50 ms sooner.
        """
        with self._lock:
            line = self._device.line
            speaks = self._playout.queued or self._playout.speaks_after(self._delivered())
            if line is not None and not speaks:
                self._take_back(line)
            self._playout.play(reply_id, samples)
            if line is not None:
                self._fill(line)

    def stop(self) -> None:
        """Drop the queue and all but 30 ms of the ring, fading out over the last 10 ms.

        Silence follows these 30 ms and what the device itself holds.
        """
        with self._lock:
            if self._device.line is None:
                self._playout.stop()
                return
            self._take_back(self._device.line)
            self._playout.drop()
            self._fill(self._device.line)

    def tick(self) -> Audio:
        """See :meth:`audio_io.ends.Speaker.tick` and this module's docstring.

        Raises: AudioError when the feeder has failed for good.
        """
        if self._feeder is not None and self._feeder.dead:
            raise AudioError(
                f"the speaker stopped after repeated internal errors{details_hint()}: start again"
            ) from self._feeder.failure
        with self._lock:
            return self._reference.tick(self._delivered())

    @property
    def played(self) -> Position:
        """How far the replies have been heard, given the latency that the device reports."""
        with self._lock:
            delay = 0.0 if self._device.line is None else self._device.line.latency
            heard = max(self._epoch, self._delivered() - round(delay * ASSISTANT_RATE))
            self._heard = max(self._heard, heard)
            return self._playout.played_at(self._heard)

    @property
    def corrections(self) -> int:
        """How often :meth:`tick` padded or skipped sound to stay on the microphone's clock."""
        return self._reference.corrections

    @property
    def status(self) -> DeviceStatus:
        """The device, the blocks missed in mid-reply, and the current problem."""
        with self._lock:
            return DeviceStatus(
                device=self._device.name,
                starved=self._playout.starved + self._starved,
                gaps=self._playout.gaps + self._starved,
                message=self._device.message,
            )

    def close(self) -> None:
        """Release the device. Safe to call twice."""
        self._closing.set()
        with self._lock:
            close = self._device.detach()
        close()
        if self._feeder is not None and self._feeder.is_alive():
            join_all([self._feeder], _CLOSE_S)

    def pump(self) -> None:
        """Fill the ring once, or without a device keep up with the wall clock."""
        now = self._clock()
        with self._lock:
            if self._device.line is not None:
                self._fill(self._device.line)
                if self._device.check(now) is not None:
                    self._epoch = self._playout.rendered  # the rest of the ring counts as heard
                    self._clocked = now
            elif self._device.recovering:
                self._run_dry(now)
        # Poll without the lock: with a synchronous runner this opens a device.
        found = self._device.poll(now)
        if found is not None:
            with self._lock:
                if self._device.attach(found):
                    self._take(found)
                    self._fill(found)

    def _feed(self) -> None:
        while not self._closing.wait(PUMP_S):
            self.pump()

    def _tell_failure(self, error: BaseException) -> None:
        with self._lock:
            self._device.tell(f"speaker: internal error, restarted{details_hint()}")

    def _take(self, line: DeviceLine) -> None:
        self._resampler = StreamResampler(ASSISTANT_RATE, line.rate, low_latency=True)
        self._epoch = self._playout.rendered
        self._underruns = line.ring.underruns

    def _fill(self, line: DeviceLine) -> None:
        missed = line.ring.underruns - self._underruns
        now = self._clock()
        if missed > 0:
            self._underruns += missed
            if self._playout.queued:
                self._starved += missed
            self._ring_s = min(self._ring_s + missed * _RING_STEP_S, _LONGEST_RING_S)
            self._last_miss = now
            self._shrink_after *= 2
        elif self._ring_s > _RING_S and now - self._last_miss >= self._shrink_after:
            self._ring_s = max(_RING_S, self._ring_s - _RING_STEP_S)
            self._last_miss = now
        while line.ring.filled < self._ring_s * line.rate:
            line.ring.write(self._resampler.process(self._render())[:, None])

    def _take_back(self, line: DeviceLine) -> None:
        """Take back all but the next 30 ms of the ring, and fade these out at their end."""
        line.ring.cut(round(_KEEP_S * line.rate), round(_FADE_S * line.rate))
        self._playout.take_back(self._epoch + int(line.ring.produced * ASSISTANT_RATE / line.rate))
        self._resampler.reset()
        self._reference.cut(self._playout.rendered, round(_FADE_S * ASSISTANT_RATE))

    def _run_dry(self, now: float) -> None:
        frame_seconds = ASSISTANT_FRAME / ASSISTANT_RATE
        # After the machine slept for hours, do not count hours as played.
        self._clocked = max(self._clocked, now - LONGEST_CATCH_UP_S)
        while now - self._clocked >= frame_seconds - 1e-6:
            self._clocked += frame_seconds
            self._render()

    def _render(self) -> Audio:
        block = self._playout.render(ASSISTANT_FRAME)
        self._reference.append(block)
        return block

    def _delivered(self) -> int:
        if self._device.line is None:
            return self._playout.rendered
        taken = int(self._device.line.ring.consumed * ASSISTANT_RATE / self._device.line.rate)
        return min(self._epoch + taken, self._playout.rendered)
