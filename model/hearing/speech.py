"""Speech probabilities into runs of speech, by hysteresis and run lengths in samples."""

from __future__ import annotations

_HYSTERESIS = 0.15


class SpeechTracker:
    """Follow the user's speech.

    Speech begins at probability ``threshold`` and ends below 0.15 less (hysteresis). Gaps of up to
    ``bridge`` samples (stops, breaths) do not end a run of speech. A run shorter than ``blip``
    samples does not end a silence.
    """

    def __init__(self, bridge: int, blip: int = 0, threshold: float = 0.5) -> None:
        self._bridge = bridge
        self._blip = blip
        self.threshold = threshold
        self._voiced = False
        self._voiced_until = 0
        self.run_start = 0
        self.last_voiced = 0
        self.run_voiced = 0

    def is_speech(self, probability: float) -> bool:
        """Return whether a next frame with this probability is speech."""
        return probability >= self.threshold - (_HYSTERESIS if self._voiced else 0.0)

    def update(self, probability: float, start: int, end: int) -> bool:
        """Take in the frame from ``start`` to ``end`` (user samples); return whether it is
        speech."""
        self._voiced = self.is_speech(probability)
        if self._voiced:
            if start - self._voiced_until > self._bridge or not self.run_voiced:
                self.run_start = start
                self.run_voiced = 0
            self.run_voiced += end - start
            self._voiced_until = end
            if self.run_voiced >= self._blip:
                self.last_voiced = end
        elif end - self._voiced_until > self._bridge:
            self.run_voiced = 0
        return self._voiced

    def silence(self, now: int) -> int:
        """Return the samples since the last speech."""
        return now - self.last_voiced

    def forget(self) -> None:
        """End the run of speech; the next speech is a new one."""
        self.run_voiced = 0
