"""The speaker: a live device as an endpoint.

One output stream is opened and kept open, fed with silence between replies, because opening can
take a second. A feeder thread renders the :class:`~audio_io.playout.Playout` in blocks of 20 ms,
resamples them to the device's own rate and keeps a ring of 60-80 ms full; the callback copies from
there. The ring grows when the machine turns out to be too slow for it. What is in it can be taken
back, so that a stop and the begin of a reply wait for 30 ms of it only. On a virtual sound card
(PulseAudio, 2 shared vCPUs) a reply was heard 70 ms after :meth:`LiveSpeaker.play`, and silence
80 ms after :meth:`LiveSpeaker.stop`, the device's own 40 ms included.

Three indices run along the same endless stream of 24 kHz samples:

- *rendered*: how far the playout has been rendered into the ring;
- *delivered*: how far the device has taken it (the callback's count, mapped back to 24 kHz);
- *heard*: delivered, less the device's own latency. :attr:`LiveSpeaker.played` speaks of this one.

:meth:`LiveSpeaker.tick` hands out the stream on the microphone's clock, which is another crystal's:
it follows *delivered* some 20 ms behind. When less than a frame has been delivered it hands out a
frame of silence instead and follows 20 ms later from then on (already a little sooner where that
splits no sound); when it has fallen more than 100 ms behind it skips silence, and more than 200 ms,
sound. Every such step that touches sound is counted (:attr:`LiveSpeaker.corrections`); a clock that
is 100 ppm off needs one in three minutes at most. Following *delivered*, which runs ahead of what
is heard, makes the reference reach the echo canceller before the echo does.

When the device goes away, the playout goes on at the pace of the wall clock (a reply spoken to a
dead device counts as played) while it is waited for or replaced (:mod:`audio_io.live.recovery`).
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable

import numpy as np

from audio_io.clock import ASSISTANT_FRAME, ASSISTANT_RATE
from audio_io.endpoints import EndpointStatus
from audio_io.live.devices import Backend, PortAudio, find_device
from audio_io.live.line import Line
from audio_io.live.recovery import Recovery, Runner, in_thread
from audio_io.playout import Playout
from audio_io.resample import StreamResampler
from audio_io.signal import Audio, Position, fade_out

PUMP_SECONDS = 0.01
_RING_SECONDS = 0.06
_LONGEST_RING_SECONDS = 0.2
_RING_STEP_SECONDS = 0.02
_KEEP_SECONDS = 0.03
_FADE_SECONDS = 0.01
_CUSHION = ASSISTANT_FRAME
_SKIP_SILENCE = ASSISTANT_RATE // 10
_SKIP_SOUND = ASSISTANT_RATE // 5
_HISTORY = 5 * ASSISTANT_RATE
_MOST_CATCH_UP = 1.0
_NEWS_SECONDS = 15.0


class LiveSpeaker:
    """The output device ``device``: an id, a unique part of its name, or "" for the default.

    Share one ``backend`` between microphone and speaker. ``clock`` and ``run`` are replaced in
    tests, which do without the ``feeder`` thread and call :meth:`pump` themselves.
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
        self._wanted = device
        self._backend = backend
        self._clock = clock
        self._run = run
        self._feeder = feeder
        self._lock = threading.Lock()
        self._closing = threading.Event()
        self._playout = Playout()
        self._line: Line | None = None
        self._recovery: Recovery | None = None
        self._resampler = StreamResampler(ASSISTANT_RATE, ASSISTANT_RATE)
        self._ring_seconds = _RING_SECONDS
        self._underruns = 0
        self._starved = 0
        self._epoch = 0
        self._clocked = 0.0
        self._heard = 0
        self._history = np.zeros(0, np.float32)
        self._history_start = 0
        self._ticked: int | None = None
        self._corrections = 0
        self._name = device
        self._message = ""
        self._news_until = 0.0

    def start(self) -> None:
        """Open the device and begin to feed it silence. Raises: DeviceError."""
        if self._backend is None:
            self._backend = PortAudio()
        device = find_device(self._backend.devices(), self._wanted, "output")
        with self._lock:
            self._take(Line(self._backend, device, "output"))
        self.pump()
        if self._feeder:
            in_thread(self._feed)

    def play(self, reply: int, samples: Audio) -> None:
        """See :meth:`audio_io.endpoints.Speaker.play`. Raises: AudioError when 300 s are queued.

        Silence that waits in the ring gives way, so that a reply begins 30-50 ms sooner.
        """
        with self._lock:
            line = self._line
            speaks = self._playout.queued or self._playout.speaks_after(self._delivered())
            if line is not None and not speaks:
                self._take_back(line)
            self._playout.play(reply, samples)
            if line is not None:
                self._fill(line)

    def duck(self) -> None:
        """See :meth:`audio_io.endpoints.Speaker.duck`."""
        self._playout.duck()

    def hold(self) -> None:
        """See :meth:`audio_io.endpoints.Speaker.hold`."""
        self._playout.hold()

    def resume(self) -> None:
        """See :meth:`audio_io.endpoints.Speaker.resume`."""
        self._playout.resume()

    def stop(self) -> None:
        """Drop what is queued, and all but 30 ms of what the ring holds, the last 10 ms fading out.

        Silent after these and what the device itself holds.
        """
        with self._lock:
            if self._line is None:
                self._playout.stop()
                return
            self._take_back(self._line)
            self._playout.drop()
            self._fill(self._line)

    def tick(self) -> Audio:
        """See :meth:`audio_io.endpoints.Speaker.tick` and this module's docstring."""
        frame = np.zeros(ASSISTANT_FRAME, np.float32)
        with self._lock:
            delivered = self._delivered()
            if self._ticked is None:
                self._ticked = max(self._history_start, delivered - ASSISTANT_FRAME - _CUSHION)
            self._skip(delivered)
            at = self._ticked - self._history_start
            due = self._history[at : at + ASSISTANT_FRAME]
            surplus = delivered - self._ticked - ASSISTANT_FRAME
            sound = bool(due.any())
            if surplus < 0 or (surplus < _CUSHION // 2 and not sound):
                # A whole frame of silence, so that it is long until the next one is needed.
                self._corrections += sound
                return frame
            frame[:] = due
            self._ticked += ASSISTANT_FRAME
            self._history = self._history[at + ASSISTANT_FRAME :]
            self._history_start = self._ticked
        return frame

    @property
    def played(self) -> Position:
        """How far the replies have been heard, by the device's own account of its latency."""
        with self._lock:
            delay = 0.0 if self._line is None else self._line.latency
            heard = max(self._epoch, self._delivered() - round(delay * ASSISTANT_RATE))
            self._heard = max(self._heard, heard)
            return self._playout.played_at(self._heard)

    @property
    def corrections(self) -> int:
        """How often :meth:`tick` padded or skipped sound to stay on the microphone's clock."""
        return self._corrections

    @property
    def status(self) -> EndpointStatus:
        """The device, the blocks missed in mid-reply, and what is wrong now."""
        with self._lock:
            return EndpointStatus(
                device=self._name,
                starved=self._playout.starved + self._starved,
                message=self._message,
            )

    def close(self) -> None:
        """Release the device. Safe to call twice."""
        self._closing.set()
        with self._lock:
            line, self._line = self._line, None
            recovery, self._recovery = self._recovery, None
        if recovery is not None:
            recovery.cancel()
        if line is not None:
            line.close()

    def pump(self) -> None:
        """One round of the feeder: fill the ring, or without a device keep to the wall clock."""
        now = self._clock()
        with self._lock:
            if self._line is not None:
                self._fill(self._line)
                if not self._line.alive(now):
                    self._lose(self._line, now)
            if self._recovery is not None:
                self._run_dry(now)
            elif now >= self._news_until:
                self._message = ""
            recovery = self._recovery
        if recovery is None:
            return
        # Without the lock: opening a device takes long where it is not done on another thread.
        found = recovery.poll(now)
        if found is None:
            return
        with self._lock:
            if self._recovery is not recovery:  # closed meanwhile
                found.line.close()
                return
            self._recovery = None
            lost = self._name
            self._take(found.line)
            if found.replacement:
                self._message = f"speaker '{lost}' is gone: using '{self._name}' instead"
            else:
                self._message = f"speaker '{self._name}' is back"
            self._news_until = now + _NEWS_SECONDS
            self._fill(found.line)

    def _feed(self) -> None:
        while not self._closing.wait(PUMP_SECONDS):
            self.pump()

    def _take(self, line: Line) -> None:
        self._line = line
        self._name = line.device.name
        self._resampler = StreamResampler(ASSISTANT_RATE, line.rate, low_latency=True)
        self._epoch = self._playout.rendered
        self._underruns = line.ring.underruns

    def _fill(self, line: Line) -> None:
        missed = line.ring.underruns - self._underruns
        if missed > 0:
            self._underruns += missed
            if self._playout.queued:
                self._starved += missed
            longer = self._ring_seconds + missed * _RING_STEP_SECONDS
            self._ring_seconds = min(longer, _LONGEST_RING_SECONDS)
        while line.ring.filled < self._ring_seconds * line.rate:
            line.ring.write(self._resampler.process(self._render())[:, None])

    def _take_back(self, line: Line) -> None:
        """Take back what the device has not got yet, but for 30 ms, faded out at their end."""
        line.ring.cut(round(_KEEP_SECONDS * line.rate), round(_FADE_SECONDS * line.rate))
        self._playout.take_back(self._epoch + int(line.ring.produced * ASSISTANT_RATE / line.rate))
        self._resampler.reset()
        # The same in what ticks hand out.
        length = max(0, self._playout.rendered - self._history_start)
        self._history = self._history[:length]
        fade = min(length, round(_FADE_SECONDS * ASSISTANT_RATE))
        self._history[length - fade :] *= fade_out(fade)

    def _run_dry(self, now: float) -> None:
        frame_seconds = ASSISTANT_FRAME / ASSISTANT_RATE
        # A machine that slept for hours shall not have played for hours.
        self._clocked = max(self._clocked, now - _MOST_CATCH_UP)
        while now - self._clocked >= frame_seconds - 1e-6:
            self._clocked += frame_seconds
            self._render()

    def _render(self) -> Audio:
        block = self._playout.render(ASSISTANT_FRAME)
        self._history = np.concatenate([self._history, block])
        surplus = len(self._history) - _HISTORY
        if surplus > 0:  # nobody ticks: keep what a late first tick could want
            self._history = self._history[surplus:]
            self._history_start += surplus
            if self._ticked is not None:
                self._ticked = max(self._ticked, self._history_start)
        return block

    def _lose(self, line: Line, now: float) -> None:
        self._line = None
        self._run(line.close)
        self._epoch = self._playout.rendered  # what the ring still held counts as heard
        self._clocked = now
        self._message = f"speaker '{self._name}' is gone: waiting for it"
        if self._backend is not None:
            self._recovery = Recovery(
                self._backend, "output", line.device, now, not self._wanted, self._run
            )

    def _delivered(self) -> int:
        if self._line is None:
            return self._playout.rendered
        taken = int(self._line.ring.consumed * ASSISTANT_RATE / self._line.rate)
        return min(self._epoch + taken, self._playout.rendered)

    def _skip(self, delivered: int) -> None:
        """Catch up with the device's clock when the microphone's has fallen too far behind."""
        if self._ticked is None:
            return
        surplus = delivered - self._ticked - ASSISTANT_FRAME - _CUSHION
        if surplus <= _SKIP_SILENCE:
            return
        at = self._ticked - self._history_start
        sound = bool(self._history[at : at + surplus].any())
        if sound and surplus <= _SKIP_SOUND:
            return
        self._corrections += sound
        self._ticked += surplus
