"""The one clock of a conversation: samples of the user's audio.

Every time stamp is a count of 16 kHz user samples since the conversation began, so a conversation
replayed from a file has the same times as the live one, whatever the wall clock did.
"""

from __future__ import annotations

USER_RATE = 16_000
"""Sample rate of the user's audio in Hz."""

ASSISTANT_RATE = 24_000
"""Sample rate of the assistant's audio in Hz."""

FRAME = 320
"""User samples in one frame: 20 ms, a multiple of the 10 ms that echo cancellation works in."""

ASSISTANT_FRAME = FRAME * ASSISTANT_RATE // USER_RATE
"""Assistant samples that are played in the time of one frame."""


def seconds(samples: int, rate: int = USER_RATE) -> float:
    """Length of ``samples`` at ``rate`` Hz, in seconds."""
    return samples / rate


def samples(duration: float, rate: int = USER_RATE) -> int:
    """Nearest whole number of samples in ``duration`` seconds at ``rate`` Hz."""
    return round(duration * rate)
