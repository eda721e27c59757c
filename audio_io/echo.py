"""Acoustic echo cancellation: takes out of the microphone what the loudspeaker put into it.

The work is done by AEC3 of WebRTC, which finds the delay between reference and echo by itself, up
to 300 ms and more. Telling it the delay gave nothing measurable (tests/audio_io/test_audio_echo.py
has the figures). It is estimated here all the same, because AEC3 fails when the reference comes
*later* than its echo (echo return loss enhancement 1.6 dB at 0 ms, 10 dB at -10 ms, 55 dB from 1 ms
on). Then the microphone is held back by as much as it takes, in steps of 10 ms. AEC3 itself is 8 ms
behind.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from pywebrtc_audio import EchoCanceller as Aec3

from audio_io.clock import FRAME, USER_RATE
from audio_io.signal import Audio

_BLOCK = USER_RATE // 100
_MARGIN_MS = 5.0
_MOST_HOLD = USER_RATE // 5


class EchoCanceller:
    """Cancels the echo of one loudspeaker in one microphone. Not thread-safe."""

    def __init__(self) -> None:
        self._aec = Aec3(USER_RATE, 1)
        self._delay = DelayEstimator()
        self._held = np.zeros(0, np.float32)

    def process(self, near: Audio, far: Audio) -> Audio:
        """The microphone's frame ``near`` without the echo of ``far``, what was played meanwhile.

        All float32, shape (320,), 16 kHz. Raises: ValueError for other shapes.
        """
        if near.shape != (FRAME,) or far.shape != (FRAME,):
            raise ValueError(f"frames are ({FRAME},), not {near.shape} and {far.shape}")
        self._delay.add(near, far)
        self._adjust_hold()
        line = np.concatenate([self._held, near])
        near, self._held = line[:FRAME], line[FRAME:]
        return np.concatenate(
            [
                self._aec.process(
                    np.ascontiguousarray(near[at : at + _BLOCK], dtype=np.float32),
                    np.ascontiguousarray(far[at : at + _BLOCK], dtype=np.float32),
                )
                for at in range(0, FRAME, _BLOCK)
            ]
        )

    @property
    def delay_ms(self) -> float | None:
        """How much later the echo comes than its reference, in ms; None while it is not known."""
        return self._delay.delay_ms

    @property
    def hold_ms(self) -> float:
        """By how much the microphone is held back, because its reference comes late."""
        return 1000.0 * len(self._held) / USER_RATE

    def _adjust_hold(self) -> None:
        delay = self._delay.delay_ms
        if delay is None:
            return
        missing = _MARGIN_MS - delay - self.hold_ms
        if missing > 0:
            steps = int(np.ceil(missing / 10.0))
            length = min(_MOST_HOLD, len(self._held) + steps * _BLOCK)
            silence = np.zeros(length - len(self._held), np.float32)
            self._held = np.concatenate([silence, self._held])


class DelayEstimator:
    """Finds by how much the echo is later than its reference, from -200 to 400 ms.

    The generalised cross-correlation with phase transform (Knapp and Carter, 1976) of windows of
    one second, every half second in which something is played, averaged over some windows. A new
    value counts once two estimates in a row agree.
    """

    _WINDOW = USER_RATE
    _SIZE = 2 * USER_RATE
    _HOP = USER_RATE // 2
    _EARLIEST = -USER_RATE // 5
    _LATEST = 2 * USER_RATE // 5
    _KEEP = 0.7
    _CLEAR = 20.0
    """Peak over root mean square of the correlation. Measured on speech: 4-14 where the two have
    nothing to do with each other, 28-75 with an echo, even 20 dB down and under another voice."""

    _AGREE = USER_RATE // 500
    _TAPER = np.hanning(USER_RATE)

    def __init__(self) -> None:
        self.delay_ms: float | None = None
        """The delay in ms; None while it is not known."""
        self._near = np.zeros(self._WINDOW, np.float32)
        self._far = np.zeros(self._WINDOW, np.float32)
        self._since = 0
        self._cross: NDArray[np.complex128] = np.zeros(self._SIZE // 2 + 1, np.complex128)
        self._last: int | None = None

    def add(self, near: Audio, far: Audio) -> None:
        """Take in the next frame of both, of equal length."""
        n = len(near)
        self._near = np.concatenate([self._near[n:], near])
        self._far = np.concatenate([self._far[n:], far])
        self._since += n
        if self._since >= self._HOP:
            self._since = 0
            self._estimate()

    def _estimate(self) -> None:
        if min(float(np.mean(np.square(part))) for part in (self._near, self._far)) < 1e-7:
            return
        # Without the tapering the edges of the two windows would agree, at a delay of 0.
        near = np.fft.rfft(self._near * self._TAPER, self._SIZE)
        far = np.fft.rfft(self._far * self._TAPER, self._SIZE)
        spectrum = near * np.conj(far)
        # Frequencies that are missing in either say nothing about the echo.
        strong = (np.abs(far) > 1e-3 * np.abs(far).max()) & (
            np.abs(near) > 1e-3 * np.abs(near).max()
        )
        spectrum = np.where(strong, spectrum / (np.abs(spectrum) + 1e-12), 0.0)
        self._cross = self._KEEP * self._cross + (1 - self._KEEP) * spectrum
        lags = np.fft.irfft(self._cross, self._SIZE)
        window = np.abs(np.concatenate([lags[self._EARLIEST :], lags[: self._LATEST]]))
        best = int(np.argmax(window))
        if window[best] < self._CLEAR * float(np.sqrt(np.mean(window**2))):
            self._last = None
            return
        lag = best + self._EARLIEST
        if self._last is not None and abs(lag - self._last) <= self._AGREE:
            self.delay_ms = 1000.0 * lag / USER_RATE
        self._last = lag
