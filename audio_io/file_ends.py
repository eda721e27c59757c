"""Sound files as the two ends of a conversation."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from audio_io.clock import (
    ASSISTANT_FRAME,
    ASSISTANT_RATE,
    FRAME,
    FRAME_S,
    LONGEST_CATCH_UP_S,
    USER_RATE,
)
from audio_io.ends import DeviceStatus
from audio_io.errors import AudioFileError
from audio_io.files import AudioWriter, mono_blocks, open_audio
from audio_io.playout import PlayoutSpeaker
from audio_io.resample import StreamResampler
from audio_io.signal import Audio, Position


class Pacer:
    """Lets one frame through every 20 ms of ``clock``.

    Time counts from the first :meth:`wait`, so delays do not add up. Of a longer delay, only
    ``catch_up`` seconds are made up for. A frame is due when its last sample is: 20 ms after its
    first.
    """

    def __init__(
        self,
        clock: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], None] = time.sleep,
        *,
        catch_up: float = LONGEST_CATCH_UP_S,
    ) -> None:
        self._clock = clock
        self._sleep = sleep
        self._catch_up = catch_up
        self._began: float | None = None
        self._frames = 0

    def wait(self, timeout: float) -> bool:
        """Wait up to ``timeout`` seconds for the next frame; return whether it is due."""
        now = self._clock()
        if self._began is None:
            self._began = now
        wait = self._began + (self._frames + 1) * FRAME_S - now
        if wait < -self._catch_up:  # the program was stopped, or the machine slept
            self._began -= wait + self._catch_up
        if wait > 0:
            self._sleep(min(wait, timeout))
            if wait > timeout:
                return False
        self._frames += 1
        return True


class FileMicrophone:
    """A sound file as the user, read block by block so that hours of it fit in memory.

    After the file (:attr:`exhausted`) comes silence until :meth:`close`, because the conversation
    goes on until the last reply ends. ``paced``: in real time instead of as fast as it is read.
    """

    def __init__(
        self,
        path: Path,
        paced: bool,
        clock: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], None] = time.sleep,
        channels: Sequence[int] = (),
    ) -> None:
        self._path = path
        self._channels = channels
        self._pacer = Pacer(clock, sleep) if paced else None
        self._file: Any = None
        self._blocks: Iterator[Audio] = iter(())
        self._resampler = StreamResampler(USER_RATE, USER_RATE)
        self._pending = np.zeros(0, np.float32)
        self._source_over = False
        self._damage: str | None = None
        self.ended = False
        """Whether it was closed."""

    def start(self) -> None:
        """Open the file, once: it may be a pipe.

        Raises: AudioFileError, also when it holds NaN or infinity anywhere.
        """
        self._file = open_audio(self._path)
        self._resampler = StreamResampler(self._file.samplerate, USER_RATE)
        self._blocks = mono_blocks(self._file, self._path, self._channels)
        self._fill()  # of floating point numbers, all are looked at first

    def read(self, timeout: float) -> Audio | None:
        """See :meth:`audio_io.ends.Microphone.read`."""
        if self.ended or self._file is None:
            return None
        if self._pacer is not None and not self._pacer.wait(timeout):
            return None
        self._fill()
        frame = np.zeros(FRAME, np.float32)
        ready = self._pending[:FRAME]
        frame[: len(ready)] = ready
        self._pending = self._pending[FRAME:]
        return frame

    def _fill(self) -> None:
        while len(self._pending) < FRAME and not self._source_over:
            block = self._next_block()
            if block is None:
                self._source_over = True
                more = self._resampler.flush()
            else:
                more = self._resampler.process(block)
            self._pending = np.concatenate([self._pending, more])

    def _next_block(self) -> Audio | None:
        """Return the next block, None at the end. Damage after the first one ends the file; before,
        it raises: AudioFileError."""
        try:
            block = next(self._blocks, None)
        except AudioFileError as error:
            if self._damage is None:
                raise
            self._damage = str(error)
            return None
        self._damage = self._damage or ""
        return block

    @property
    def exhausted(self) -> bool:
        """Whether the whole file has been read, so that only silence follows."""
        if self._file is not None and not self.ended:
            self._fill()
        return self._source_over and len(self._pending) == 0

    @property
    def status(self) -> DeviceStatus:
        """The file's name, and how it is damaged."""
        return DeviceStatus(device=self._path.name, message=self._damage or "")

    def close(self) -> None:
        """Close the file. Safe to call twice."""
        self.ended = True
        if self._file is not None:
            self._file.close()


class FileSpeaker(PlayoutSpeaker):
    """A sound file as the speaker, or nothing for a ``path`` of None.

    Every :meth:`tick` renders one frame and appends it: 480 samples at 24 kHz, 320 at 16 kHz.
    """

    def __init__(self, path: Path | None, rate: int = ASSISTANT_RATE) -> None:
        super().__init__()
        self._path = path
        self._rate = rate
        self._resampler = StreamResampler(ASSISTANT_RATE, rate)
        self._writer: AudioWriter | None = None

    def start(self) -> None:
        """Open the file. Raises: AudioFileError when it is not writable."""
        if self._path is not None:
            self._writer = AudioWriter(self._path, self._rate)

    def play(self, reply_id: int, samples: Audio) -> None:
        """See :meth:`audio_io.ends.Speaker.play`."""
        self._playout.play(reply_id, samples)

    def stop(self) -> None:
        """See :meth:`audio_io.ends.Speaker.stop`."""
        self._playout.stop()

    def tick(self) -> Audio:
        """Render one frame: float32, shape (480,), 24 kHz. Raises: AudioFileError."""
        block = self._playout.render(ASSISTANT_FRAME)
        if self._writer is not None:
            try:
                self._writer.write(self._resampler.process(block))
            except AudioFileError:
                self._writer = None
                raise
        return block

    @property
    def played(self) -> Position:
        """The position after the last tick."""
        return self._playout.played_at(self._playout.rendered)

    @property
    def status(self) -> DeviceStatus:
        """The file's name, and how often it ran dry."""
        name = "nowhere" if self._path is None else self._path.name
        playout = self._playout
        return DeviceStatus(device=name, starved=playout.starved, gaps=playout.gaps)

    def close(self) -> None:
        """Complete the file; without a tick, remove it. Safe to call twice. Raises:
        AudioFileError."""
        writer, self._writer = self._writer, None
        if writer is None:
            return
        if self._playout.rendered == 0:
            writer.abort()
            return
        writer.write(self._resampler.flush())
        writer.close()
