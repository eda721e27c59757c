"""The user's turn while its audio is collected."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np

from audio_io.clock import FRAME
from audio_io.levels import power_to_db
from audio_io.signal import Audio


class OpenTurn:
    """Turn ``number``, begun at ``start`` (user samples) with the audio in ``frames``, whose last
    ``voiced`` samples are speech.

    ``push_to_talk`` keeps it open through silences. ``typed``: its text, if it was typed.
    ``added``: text to answer along with it. ``closed``: it cannot be continued (typed, given
    whole, or at the maximum length). ``over_reply``: it began over a reply that did not ask
    anything, so it may be a backchannel. ``resumed``: it went on after a reply to it had begun.
    ``longest_pause``: between two parts of its speech, in samples.
    """

    def __init__(
        self,
        number: int,
        start: int,
        end_of_speech: int,
        frames: Iterable[Audio] = (),
        voiced: int = 0,
        typed: str | None = None,
        added: str = "",
    ) -> None:
        self.number = number
        self.start = start
        self.end_of_speech = end_of_speech
        self.push_to_talk = False
        self.typed = typed
        self.added = added
        self.closed = typed is not None
        self.over_reply = False
        self.resumed = False
        self.longest_pause = 0
        self.voiced = voiced
        self._frames = list(frames)
        self.length = sum(map(len, self._frames))
        spoken = self.audio()[max(0, self.length - voiced) :]
        self._speech = [spoken]
        self._powers = _powers(spoken)
        self._all_powers = [power for frame in self._frames for power in _powers(frame)]

    def add(self, samples: Audio, voiced: bool, last_speech: int) -> None:
        """Append a frame. ``last_speech``: when the user last spoke, in user samples."""
        self._frames.append(samples)
        self.length += len(samples)
        if last_speech > self.end_of_speech:
            pause = last_speech - len(samples) - self.end_of_speech
            self.longest_pause = max(self.longest_pause, pause)
            self.end_of_speech = last_speech
        powers = _powers(samples)
        self._all_powers += powers
        if voiced:
            self.voiced += len(samples)
            self._speech.append(samples)
            self._powers += powers

    def went_on_after(self, time: int) -> bool:
        """Return whether it began before ``time`` (user samples) and has speech after it."""
        return not self.closed and self.start < time < self.end_of_speech

    def level(self, last: int | None = None) -> float | None:
        """Return the level in dBFS of its speech, or of the ``last`` samples of it; None without
        speech. It is the rms of the louder half of the frames, to ignore pauses and single loud
        sounds."""
        powers = self._powers
        if last is not None:
            powers = powers[max(0, len(powers) - last // FRAME) :]
        if not powers:
            return None
        louder = sorted(powers)[len(powers) // 2 :]
        return power_to_db(sum(louder) / len(louder))

    def above_noise(self) -> float:
        """Return by how many dB its speech is louder than the quietest tenth of its audio; 0
        without speech."""
        level = self.level()
        if level is None:
            return 0.0
        quiet = sorted(self._all_powers)[: 1 + len(self._all_powers) // 10]
        return level - power_to_db(sum(quiet) / len(quiet))

    def speech(self) -> Audio:
        """Return its speech without pauses (float32 mono 16 kHz)."""
        return np.concatenate(self._speech)

    def audio(self) -> Audio:
        """Return all of its audio (float32 mono 16 kHz)."""
        return np.concatenate(self._frames) if self._frames else np.zeros(0, np.float32)


def _powers(samples: Audio) -> list[float]:
    """Return the mean square of each whole frame."""
    frames = samples[: len(samples) // FRAME * FRAME].reshape(-1, FRAME)
    return [float(frame @ frame) / FRAME for frame in frames]
