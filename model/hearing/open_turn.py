"""A turn of the user that is not answered yet: its audio, and where its speech ended."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np

from audio_io.clock import FRAME
from audio_io.levels import power_to_db
from audio_io.signal import Audio
from model.reply import UserTurn


class OpenTurn:
    """Turn ``number``, which began at ``start`` (user samples) with the audio in ``frames``, whose
    last ``voiced`` samples are speech.

    ``held``: push-to-talk keeps it open, whatever the silence. ``typed``: its text, if typed.
    ``closed``: nothing can be added to it any more (it was typed, or is as long as may be).
    ``over_reply``: it began over a reply that asked nothing, so that it may be a backchannel.
    """

    def __init__(
        self,
        number: int,
        start: int,
        end_of_speech: int,
        frames: Iterable[Audio] = (),
        voiced: int = 0,
        typed: str | None = None,
    ) -> None:
        self.number = number
        self.start = start
        self.end_of_speech = end_of_speech
        self.held = False
        self.typed = typed
        self.closed = typed is not None
        self.over_reply = False
        self.voiced = voiced
        self._frames = list(frames)
        self.length = sum(map(len, self._frames))
        self._powers = _powers(self.audio()[max(0, self.length - voiced) :])

    def add(self, samples: Audio, voiced: bool, last_speech: int) -> None:
        """Append a frame. ``last_speech``: when the user last spoke, in user samples."""
        self._frames.append(samples)
        self.length += len(samples)
        self.end_of_speech = max(self.end_of_speech, last_speech)
        if voiced:
            self.voiced += len(samples)
            self._powers += _powers(samples)

    def went_on_after(self, time: int | None) -> bool:
        """Whether this same turn, not a later one, has speech after ``time`` (user samples)."""
        return not self.closed and time is not None and self.start < time < self.end_of_speech

    def level(self, last: int | None = None) -> float | None:
        """Of its speech, or the ``last`` samples of that, in dBFS: rms of the louder half, by
        frames, so that neither pauses nor single loud sounds count. None without speech."""
        powers = self._powers
        if last is not None:
            powers = powers[max(0, len(powers) - last // FRAME) :]
        if not powers:
            return None
        louder = sorted(powers)[len(powers) // 2 :]
        return power_to_db(sum(louder) / len(louder))

    def audio(self) -> Audio:
        """All of it: float32 mono 16 kHz."""
        return np.concatenate(self._frames) if self._frames else np.zeros(0, np.float32)

    def snapshot(self) -> UserTurn:
        """The turn as a reply generator takes it."""
        return UserTurn(audio=self.audio(), text=self.typed)


def _powers(samples: Audio) -> list[float]:
    """The mean square of each whole frame."""
    frames = samples[: len(samples) // FRAME * FRAME].reshape(-1, FRAME)
    return [float(frame @ frame) / FRAME for frame in frames]
