"""Replay a session in time: as lines that appear when they were said, or through a speaker."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from typing import TYPE_CHECKING

from covo_cli.errors import SessionError

if TYPE_CHECKING:
    from audio_io.ends import Speaker
    from covo_cli.sessions.audio import Pcm
    from covo_cli.sessions.transcript import TranscriptEntry

REPLY = 0
AHEAD_S = 1.0
"""Sound to keep queued in the speaker."""

STEP_S = 0.02
STALLED_S = 5.0
"""Time without a sample played after which the device counts as gone."""


def print_in_time(
    turns: Sequence[TranscriptEntry],
    show: Callable[[TranscriptEntry], None],
    *,
    start: float = 0.0,
    speed: float = 1.0,
) -> None:
    """Call ``show`` with every entry that ends after ``start`` seconds, when it begins.

    Time passes ``speed`` times as fast as it did; delays do not add up.
    """
    began = time.monotonic()
    for turn in _from(turns, start):
        time.sleep(max(0.0, began + (turn.start_s - start) / speed - time.monotonic()))
        show(turn)


def play_in_time(
    turns: Sequence[TranscriptEntry],
    show: Callable[[TranscriptEntry], None],
    sound: Iterator[Pcm],
    speaker: Speaker,
    *,
    start: float = 0.0,
    warn: Callable[[str], None] = lambda message: None,
) -> None:
    """Play ``sound`` (mono int16 blocks, 24 kHz) from ``start`` seconds on.

    Shows each entry when the started ``speaker`` gets to its beginning; ``warn`` is told what is
    wrong with the speaker. Raises: SessionError when it stops playing, AudioError.
    """
    from audio_io.clock import ASSISTANT_RATE

    waiting = _from(turns, start)
    blocks = _skipped(sound, round(start * ASSISTANT_RATE))
    queued = played = 0
    over, message = False, ""
    next_tick = last_progress = time.monotonic()
    while not over or played < queued:
        while not over and queued - played < AHEAD_S * ASSISTANT_RATE:
            block = next(blocks, None)
            if block is None:
                over = True
            else:
                speaker.play(REPLY, (block / 32_768).astype("float32"))
                queued += len(block)
        speaker.tick()
        before, played = played, speaker.played.samples
        if played > before:
            last_progress = time.monotonic()
        elif time.monotonic() - last_progress > STALLED_S:
            raise SessionError("the speaker has stopped playing; see covo devices")
        if (now_wrong := speaker.status.message) != message:
            message = now_wrong
            warn(message or "speaker: recovered")
        while waiting and start + played / ASSISTANT_RATE >= waiting[0].start_s:
            show(waiting.pop(0))
        next_tick += STEP_S
        time.sleep(max(0.0, next_tick - time.monotonic()))
    for turn in waiting:  # what begins after the end of the sound
        show(turn)


def _from(turns: Sequence[TranscriptEntry], start: float) -> list[TranscriptEntry]:
    return [turn for turn in turns if max(turn.end_s, turn.start_s) >= start]


def _skipped(blocks: Iterator[Pcm], samples: int) -> Iterator[Pcm]:
    """Yield ``blocks`` without their first ``samples``, in pieces of at most a second."""
    from audio_io.clock import ASSISTANT_RATE

    for block in blocks:
        rest = block[samples:]
        samples = max(0, samples - len(block))
        for at in range(0, len(rest), ASSISTANT_RATE):
            yield rest[at : at + ASSISTANT_RATE]
