"""A session once more, in time: as lines that appear when they were said, or through a speaker."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

from covo_cli.errors import SessionError

if TYPE_CHECKING:
    from audio_io.endpoints import EndpointStatus
    from audio_io.signal import Audio, Position
    from covo_cli.sessions.audio import Pcm
    from covo_cli.sessions.turns import Utterance

REPLY = 0
AHEAD = 1.0
"""Seconds of sound to keep queued in the speaker."""

STEP = 0.02
STALLED = 5.0
"""Seconds without a sample played after which the device counts as gone."""


class Output(Protocol):
    """What a replay needs of a :class:`audio_io.endpoints.Speaker`."""

    def play(self, reply: int, samples: Audio) -> None:
        """Queue sound."""

    def tick(self) -> Audio:
        """Take what was heard in one frame."""

    @property
    def played(self) -> Position:
        """How far it has got."""

    @property
    def status(self) -> EndpointStatus:
        """How it is doing."""


@dataclass(frozen=True, slots=True)
class Clock:
    """Wall-clock time, replaceable in tests."""

    now: Callable[[], float] = time.monotonic
    sleep: Callable[[float], None] = time.sleep


def print_in_time(
    turns: Sequence[Utterance],
    show: Callable[[Utterance], None],
    *,
    start: float = 0.0,
    speed: float = 1.0,
    clock: Clock | None = None,
) -> None:
    """Call ``show`` with every utterance that ends after ``start`` seconds, when it begins.

    Time passes ``speed`` times as fast as it did; the times are kept without adding up delays.
    """
    clock = clock or Clock()
    began = clock.now()
    for turn in _from(turns, start):
        wait = began + (turn.start - start) / speed - clock.now()
        if wait > 0:
            clock.sleep(wait)
        show(turn)


def play_in_time(
    turns: Sequence[Utterance],
    show: Callable[[Utterance], None],
    sound: Iterator[Pcm],
    speaker: Output,
    *,
    start: float = 0.0,
    warn: Callable[[str], None] = lambda message: None,
    clock: Clock | None = None,
) -> None:
    """Play ``sound`` (mono int16 blocks, 24 kHz) from ``start`` seconds on, showing each utterance
    when the speaker has got to its beginning.

    ``speaker`` has been started; ``warn`` is told what goes wrong with it. Raises:
    SessionError when it stops playing, AudioError.
    """
    from audio_io.clock import ASSISTANT_RATE

    clock = clock or Clock()
    waiting = list(_from(turns, start))
    blocks = _skipped(sound, round(start * ASSISTANT_RATE))
    queued = played = 0
    over, message = False, ""
    next_tick = last_progress = clock.now()
    while not over or played < queued:
        while not over and queued - played < AHEAD * ASSISTANT_RATE:
            block = next(blocks, None)
            if block is None:
                over = True
            else:
                speaker.play(REPLY, (block / 32_768).astype("float32"))
                queued += len(block)
        speaker.tick()
        before, played = played, speaker.played.samples
        if played > before:
            last_progress = clock.now()
        elif clock.now() - last_progress > STALLED:
            raise SessionError("the speaker has stopped playing: see covo devices")
        if (now_wrong := speaker.status.message) != message:
            message = now_wrong
            warn(message or "the speaker is back")
        while waiting and start + played / ASSISTANT_RATE >= waiting[0].start:
            show(waiting.pop(0))
        next_tick += STEP
        clock.sleep(max(0.0, next_tick - clock.now()))
    for turn in waiting:  # what lies behind the sound's end
        show(turn)


def _from(turns: Sequence[Utterance], start: float) -> Iterator[Utterance]:
    return (turn for turn in turns if max(turn.end, turn.start) >= start)


def _skipped(blocks: Iterator[Pcm], samples: int) -> Iterator[Pcm]:
    """``blocks`` without their first ``samples`` samples, none of them empty or over a second."""
    from audio_io.clock import ASSISTANT_RATE

    for block in blocks:
        rest = block[samples:]
        samples = max(0, samples - len(block))
        for at in range(0, len(rest), ASSISTANT_RATE):
            yield rest[at : at + ASSISTANT_RATE]
