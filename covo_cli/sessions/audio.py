"""A session's sound: stereo 16-bit at 24 kHz, left the user, right the assistant, on one clock.

During recording it is headerless interleaved little-endian PCM (``audio.part``), valid at any
length after a kill or on a full disk. An unfinished FLAC is not: libsndfile 1.2.2 cannot tell its
length and loses the samples of the last read. A finished session has ``audio.flac`` instead.
"""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import soundfile
from numpy.typing import NDArray

from audio_io.clock import ASSISTANT_RATE, USER_RATE
from audio_io.files import native_path
from audio_io.resample import StreamResampler
from audio_io.signal import Audio
from covo_cli.errors import SessionError
from covo_cli.process.whole_file import whole_file
from covo_cli.sessions.files import AUDIO, PARTIAL_AUDIO, try_lock
from voices.folders import check_readable

Pcm = NDArray[np.int16]
"""Sound as 16-bit integers: shape (samples, 2) for stereo, (samples,) for mono."""

RATE = ASSISTANT_RATE
FRAME_BYTES = 4
WRITE_SIZE = RATE * 3 // 10
"""Samples per write: 0.3 s. A kill loses at most these and the resampler's 40 ms."""

BLOCK = 10 * RATE
_PCM16 = np.dtype("<i2")


def to_pcm16(sound: Audio) -> Pcm:
    """Convert float sound in [-1, 1] to 16-bit integers, clipping anything louder."""
    scaled = np.rint(np.nan_to_num(sound) * 32_768)
    return np.clip(scaled, -32_768, 32_767).astype(_PCM16)


class PartWriter:
    """Writes ``audio.part``, keeping both channels aligned.

    Resampling the user's channel from 16 to 24 kHz looks up to 40 ms ahead: until :meth:`finish`
    the file ends with the shorter channel.
    """

    def __init__(self, path: Path) -> None:
        """Create ``path`` (which must not exist) and lock it. Raises: OSError."""
        self._descriptor = _create_locked(path)
        self._resampler = StreamResampler(USER_RATE, RATE)
        self._left = np.zeros(0, np.float32)
        self._right = np.zeros(0, np.float32)

    def write(self, user: Audio, assistant: Audio) -> None:
        """Append ``user`` (16 kHz) and ``assistant`` (24 kHz) sound of the same time.

        Raises: OSError when the disk is full; what was written before stays.
        """
        self._left = np.concatenate([self._left, self._resampler.process(user)])
        self._right = np.concatenate([self._right, assistant])
        length = min(len(self._left), len(self._right))
        if length >= WRITE_SIZE:
            self._write_out(length)

    def finish(self) -> None:
        """Write the rest, as long as the assistant's channel. Raises: OSError."""
        length = len(self._right)
        left = np.concatenate([self._left, self._resampler.flush()])[:length]
        self._left = np.pad(left, (0, length - len(left)))
        self._write_out(length)

    def close(self) -> None:
        """Close the file and give up the lock. Safe to call twice."""
        if self._descriptor >= 0:
            os.close(self._descriptor)
            self._descriptor = -1

    def _write_out(self, length: int) -> None:
        stereo = np.stack([self._left[:length], self._right[:length]], axis=1)
        self._left, self._right = self._left[length:], self._right[length:]
        data = memoryview(to_pcm16(stereo).tobytes())
        while data:  # a nearly full disk takes a part and refuses the next
            data = data[os.write(self._descriptor, data) :]


def _create_locked(path: Path) -> int:
    """Create and lock ``path``; return its descriptor. Raises: OSError."""
    flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | getattr(os, "O_BINARY", 0)
    while True:
        descriptor = os.open(path, flags, 0o666)
        # Another process that lists the sessions now holds the lock for an instant; one that opens
        # this session takes it for unfinished and removes the file.
        try:
            while not try_lock(descriptor):
                time.sleep(0.001)
        except OSError:  # a file system without locks
            os.close(descriptor)
            raise
        if path.exists():
            return descriptor
        os.close(descriptor)


def read_part(path: Path) -> Iterator[Pcm]:
    """Yield the sound of an ``audio.part`` in blocks of at most 10 s. Raises: OSError."""
    check_readable(path, sys.maxsize)
    with path.open("rb") as file:
        while data := file.read(BLOCK * FRAME_BYTES):
            whole = len(data) - len(data) % FRAME_BYTES
            yield np.frombuffer(data[:whole], _PCM16).reshape(-1, 2)


def write_sound(path: Path, blocks: Iterator[Pcm], *, kind: str, channels: int) -> int:
    """Write ``blocks`` to ``path`` as ``kind`` ("FLAC", "WAV"), whole or not at all.

    Returns the number of samples per channel. Raises: OSError, also when the disk is full.
    """
    frames = 0
    with whole_file(path) as temporary:
        try:
            with soundfile.SoundFile(
                native_path(temporary), "w", RATE, channels, subtype="PCM_16", format=kind
            ) as file:
                for block in blocks:
                    file.write(block)
                    frames += len(block)
        except soundfile.SoundFileError as error:
            # libsndfile gives no reason; with valid data it can only be the disk.
            raise OSError(f"cannot write {path} ({error}): is the disk full?") from error
    return frames


def read_audio(folder: Path) -> Iterator[Pcm]:
    """Yield a session's sound, finished or not, in stereo blocks of at most 10 s.

    Raises: SessionError when it is missing or cannot be decoded.
    """
    part, flac = folder / PARTIAL_AUDIO, folder / AUDIO
    try:
        if part.exists():
            yield from read_part(part)
            return
        if not flac.exists():
            raise SessionError(f"session {folder.name} has no sound: {flac} is missing")
        check_readable(flac, sys.maxsize)
        if flac.stat().st_size == 0:
            return  # libsndfile writes no samples as an empty file, which it cannot read
        with soundfile.SoundFile(native_path(flac)) as file:
            if (file.channels, file.samplerate) != (2, RATE):
                raise SessionError(f"{flac} is not stereo sound at {RATE} Hz")
            while len(block := file.read(BLOCK, dtype="int16")):
                yield block
    except (OSError, soundfile.SoundFileError) as error:
        raise SessionError(f"the sound of session {folder.name} cannot be read: {error}") from error


def mixed(folder: Path) -> Iterator[Pcm]:
    """Yield a session's sound as mono, with both voices at their own level.

    If they clip together anywhere, all of it is made quieter. Reads the sound twice.
    Raises: SessionError.
    """
    peak = max((int(np.abs(_sum(block)).max(initial=0)) for block in read_audio(folder)), default=0)
    gain = min(1.0, 32_767 / max(peak, 1))
    for block in read_audio(folder):
        yield np.rint(_sum(block) * gain).astype(_PCM16)


def _sum(block: Pcm) -> NDArray[np.int32]:
    return block[:, 0].astype(np.int32) + block[:, 1]
