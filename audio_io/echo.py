"""Acoustic echo cancellation: remove the loudspeaker's sound from the microphone.

WebRTC's AEC3 does the work. It finds the delay between reference and echo by itself, up to 300 ms
and more; telling it the delay gained nothing measurable (figures in
tests/audio_io/test_audio_echo.py). The delay is estimated here because AEC3 fails when the
reference comes *later* than its echo: the echo return loss enhancement is 1.6 dB at a delay of 0
ms, 10 dB at -10 ms and 55 dB from 1 ms on. The microphone is then delayed in steps of 10 ms. AEC3
itself adds 8 ms.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from pywebrtc_audio import EchoCanceller as Aec3

from audio_io.clock import FRAME, USER_RATE
from audio_io.signal import Audio

_BLOCK = USER_RATE // 100
_MARGIN_MS = 5.0
_SHRINK_MARGIN_MS = 10.0
_LONGEST_DELAY = USER_RATE // 5
_QUIET = 4.0
"""Drop samples only while the power is at most this many times the background's."""
_BACKGROUND_RISE = 1.02
"""Factor per frame by which the background estimate rises: 10 dB in 2.3 s."""


class EchoCanceller:
    """Cancels the echo of one loudspeaker in one microphone. Not thread-safe."""

    def __init__(self) -> None:
        self._aec = Aec3(USER_RATE, 1)
        self._delay = DelayEstimator()
        self._delayed = np.zeros(0, np.float32)
        self._background = 0.0

    def process(self, near: Audio, far: Audio) -> Audio:
        """Return the microphone's frame ``near`` without the echo of ``far``, played meanwhile.

        All are float32, shape (320,), 16 kHz. Raises: ValueError for other shapes.
        """
        if near.shape != (FRAME,) or far.shape != (FRAME,):
            raise ValueError(f"frames are ({FRAME},), not {near.shape} and {far.shape}")
        self._delay.add(near, far)
        self._adjust_delay(near)
        line = np.concatenate([self._delayed, near])
        near, self._delayed = line[:FRAME], line[FRAME:]
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
        """Delay of the echo after its reference, in ms; None while unknown."""
        return self._delay.delay_ms

    @property
    def added_delay_ms(self) -> float:
        """Delay added to the microphone because its reference comes late, in ms."""
        return 1000.0 * len(self._delayed) / USER_RATE

    def _adjust_delay(self, near: Audio) -> None:
        """Adjust the microphone's delay to how late the reference comes.

        Shortening it skips samples of the user, so it waits until they are quiet.
        """
        line = np.concatenate([self._delayed, near])
        power = float(np.mean(np.square(line, dtype=np.float64)))
        self._background = max(1e-10, min(power, _BACKGROUND_RISE * self._background))
        delay = self._delay.delay_ms
        if delay is None:
            return
        added = len(self._delayed)
        missing = _in_blocks(_MARGIN_MS - delay) - added
        surplus = added - _in_blocks(_SHRINK_MARGIN_MS - delay)
        if missing > 0:
            self._delayed = np.concatenate([np.zeros(missing, np.float32), self._delayed])
        elif surplus > 0 and power <= _QUIET * self._background:
            self._delayed = self._delayed[surplus:]
        if len(self._delayed) != added:
            # A new AEC3 learns the shifted echo at once; the old one leaks for 2 s.
            self._aec = Aec3(USER_RATE, 1)


def _in_blocks(ms: float) -> int:
    """Return ``ms`` as whole blocks of 10 ms, at most 200 ms, in samples."""
    return min(_LONGEST_DELAY, max(0, int(np.ceil(ms / 10.0))) * _BLOCK)


class DelayEstimator:
    """Estimates the echo's delay after its reference, from -200 to 400 ms.

    Averages the phase-transformed cross-correlation (GCC-PHAT; Knapp and Carter, 1976) of 1 s
    windows, every 0.5 s during playback. A new value counts once two estimates in a row agree.
    """

    _WINDOW = USER_RATE
    _SIZE = 2 * USER_RATE
    _HOP = USER_RATE // 2
    _EARLIEST = -USER_RATE // 5
    _LATEST = 2 * USER_RATE // 5
    _KEEP = 0.7
    _CLEAR = 20.0
    """Least peak over root mean square of the correlation. Measured on speech: 4-14 for unrelated
    sounds, 28-75 with an echo, even one 20 dB down under another voice."""

    _AGREE = USER_RATE // 500
    _TAPER = np.hanning(USER_RATE)

    def __init__(self) -> None:
        self.delay_ms: float | None = None
        """The delay in ms; None while unknown."""
        self._near = np.zeros(self._WINDOW, np.float32)
        self._far = np.zeros(self._WINDOW, np.float32)
        self._since = 0
        self._cross: NDArray[np.complex128] = np.zeros(self._SIZE // 2 + 1, np.complex128)
        self._last: int | None = None

    def add(self, near: Audio, far: Audio) -> None:
        """Take in the next frame of each, of equal length."""
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
        # Untapered, the windows' edges would correlate at a delay of 0.
        near = np.fft.rfft(self._near * self._TAPER, self._SIZE)
        far = np.fft.rfft(self._far * self._TAPER, self._SIZE)
        spectrum = near * np.conj(far)
        # Leave out frequencies that either side lacks.
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
