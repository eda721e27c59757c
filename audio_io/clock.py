"""The conversation's one clock, which counts samples of the user's audio.

Every time stamp is a number of 16 kHz user samples since the conversation began, so a conversation
replayed from a file has the same times as the live one.
"""

from __future__ import annotations

USER_RATE = 16_000
"""Sample rate of the user's audio in Hz."""

ASSISTANT_RATE = 24_000
"""Sample rate of the assistant's audio in Hz."""

FRAME = 320
"""User samples in one frame: 20 ms, a multiple of the echo canceller's 10 ms."""

ASSISTANT_FRAME = FRAME * ASSISTANT_RATE // USER_RATE
"""Assistant samples played during one frame: 480."""

FRAME_S = FRAME / USER_RATE
"""Seconds in one frame."""

LONGEST_CATCH_UP_S = 1.0
"""After a standstill, what keeps pace with the wall clock makes up for this much at most."""


def seconds(samples: int, rate: int = USER_RATE) -> float:
    """Return the length of ``samples`` at ``rate`` Hz, in seconds."""
    return samples / rate


def samples(duration: float, rate: int = USER_RATE) -> int:
    """Return the number of samples at ``rate`` Hz nearest to ``duration`` seconds."""
    return round(duration * rate)
