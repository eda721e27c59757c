"""Read and write sound files; :mod:`audio_io.file_ends` uses them as microphone and speaker.

Reads whatever soundfile does (WAV, FLAC, MP3, Ogg, any subtype and rate), also from a pipe, and
mixes the channels (:mod:`audio_io.channels`). Writes to a ``.part`` file beside the target and
renames it once it is complete.
"""

from __future__ import annotations

import os
import shutil
import sys
import tempfile
from collections.abc import Iterator, Sequence
from io import RawIOBase
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
import soundfile
from numpy.typing import NDArray

from audio_io.channels import ChannelMix
from audio_io.errors import AudioFileError
from audio_io.headers import in_one_file, with_true_size
from audio_io.resample import StreamResampler
from audio_io.signal import Audio

_BLOCK_S = 0.5
_LOUDEST = 100.0
_LOWEST_RATE = 1000
_INTEGERS = (2.0**15, 2.0**23, 2.0**31)
_LONGEST_NAME = 230
"""Bytes of a name that leave room for an extension: file systems allow 255."""
_FORMATS = {
    ".wav": ("WAV", "PCM_16"),
    ".flac": ("FLAC", "PCM_16"),
    ".ogg": ("OGG", "VORBIS"),
    ".oga": ("OGG", "VORBIS"),
}


def native_path(path: Path) -> str | bytes:
    """Return ``path`` for soundfile, which cannot encode every name that a file may have."""
    return str(path) if sys.platform == "win32" else os.fsencode(path)


def open_audio(path: Path) -> Any:
    """Open a sound file or pipe for reading: a soundfile.SoundFile with at least one sample.

    A pipe is read to its end first. Raises: AudioFileError when it is missing, a folder, not
    sound, or empty.
    """
    try:
        if not path.exists():
            raise AudioFileError(f"{path}: no such file")
        if path.is_dir():
            raise AudioFileError(f"{path} is a folder: give a sound file")
        file = _SoundStream(with_true_size(in_one_file(_seekable(path))))
    except (soundfile.LibsndfileError, OSError, TypeError) as error:  # TypeError: no header
        if reason := getattr(error, "strerror", None):
            raise AudioFileError(f"cannot read {path}: {reason}") from error
        reason = getattr(error, "error_string", None) or str(error)
        raise AudioFileError(
            f"{path} is not a sound file that can be read "
            f"({reason.strip().rstrip('.')}): use WAV, FLAC, MP3 or Ogg "
            "(ffmpeg -i FILE new.wav converts others)"
        ) from error
    problem = ""
    if file.frames == 0:
        problem = "is empty: it has no samples"
    elif file.samplerate < _LOWEST_RATE:
        problem = f"has {file.samplerate} samples a second: that is no sound"
    if problem:
        file.close()
        raise AudioFileError(f"{path} {problem}")
    return file


class _SoundStream(soundfile.SoundFile):  # type: ignore[misc]
    """A sound file read from a stream, which it owns."""

    def __init__(self, stream: RawIOBase) -> None:
        self._stream = stream
        try:
            super().__init__(stream)
        except BaseException:
            stream.close()
            raise

    def seekable(self) -> bool:
        """Keep soundfile from seeking after every read, which fails where the length is unknown."""
        return False

    def close(self) -> None:
        super().close()
        self._stream.close()


def _seekable(path: Path) -> BinaryIO:
    """Open ``path``; a pipe as a temporary copy. Raises: OSError."""
    stream = path.open("rb")
    if stream.seekable():
        return stream
    with stream:
        if stream.isatty():
            raise OSError("it is a terminal, not a sound")
        copy = tempfile.TemporaryFile()  # noqa: SIM115 - closed by its reader
        shutil.copyfileobj(stream, copy)
        return copy


def mono_blocks(file: Any, path: Path, channels: Sequence[int] = ()) -> Iterator[Audio]:
    """Yield the rest of an open sound file at its own rate, in mono blocks of half a second.

    ``channels``: those to use, see :class:`audio_io.channels.ChannelMix`. Samples of integers that
    were written as floating point numbers become those of sound. Raises: AudioFileError when a
    sample is not a number or the file is cut short; AudioError when a channel is missing.
    """
    mix = ChannelMix(file.channels, file.samplerate, channels)
    scale = 1.0
    if file.subtype in ("FLOAT", "DOUBLE"):
        begin = file.tell()
        peak = usual = 0.0
        for block in _blocks(file, path):
            sizes = np.abs(block).max(axis=1)
            peak = max(peak, float(sizes.max()))
            usual = max(usual, float(np.median(sizes)))
        scale = _full_scale(peak, usual)
        file.seek(begin)
    for block in _blocks(file, path):
        yield mix.process(block if scale == 1.0 else block / np.float32(scale))


def _full_scale(peak: float, usual: float) -> float:
    """Return the sample that is full scale in sound with this ``peak``: 1.0, or that of integers.

    No gain makes sound a hundred times too loud. ``usual``: the median in the loudest block, which
    single wrong samples do not change.
    """
    if peak < _LOUDEST or usual < 1.0:
        return 1.0
    return next((scale for scale in _INTEGERS if peak <= scale), peak)


def _blocks(file: Any, path: Path) -> Iterator[NDArray[np.float32]]:
    """Yield the rest of an open sound file in blocks of half a second, (samples, channels).

    Raises: AudioFileError.
    """
    size = max(1, round(_BLOCK_S * file.samplerate))
    done = 0
    while True:
        try:
            block = file.read(size, dtype="float32", always_2d=True)
        except (soundfile.LibsndfileError, OSError) as error:
            second = done / file.samplerate
            raise AudioFileError(f"{path} is damaged after {second:.1f} s: {error}") from error
        if len(block) == 0:
            return
        finite = np.isfinite(block).all(axis=1)
        if not finite.all():
            second = (done + int(np.argmin(finite))) / file.samplerate
            raise AudioFileError(
                f"{path} has samples that are not numbers (NaN or infinity) at {second:.3f} s"
            )
        done += len(block)
        yield block


def read_audio(path: Path, rate: int) -> Audio:
    """Return a whole sound file at ``rate`` Hz as float32 mono. Raises: AudioFileError."""
    with open_audio(path) as file:
        resampler = StreamResampler(file.samplerate, rate)
        pieces = [resampler.process(block) for block in mono_blocks(file, path)]
        pieces.append(resampler.flush())
    samples = np.concatenate(pieces)
    if len(samples) == 0:
        raise AudioFileError(f"{path} is empty: it has no samples")
    return samples


class AudioWriter:
    """Writes a sound file piece by piece; ``path`` appears once :meth:`close` has returned.

    The extension sets the format, ``subtype`` soundfile's encoding (by default 16-bit PCM, for Ogg
    Vorbis). Raises: AudioFileError, at once when ``path`` is not writable.
    """

    def __init__(
        self, path: Path, rate: int, subtype: str | None = None, channels: int = 1
    ) -> None:
        try:
            container, usual = _FORMATS[path.suffix.lower()]
        except KeyError:
            known = ", ".join(sorted(_FORMATS))
            raise AudioFileError(f"{path}: the extension must be one of {known}") from None
        self.path = path
        self.frames = 0
        self._target = Path(os.path.realpath(path))  # a link stays one
        self._part = _part_of(self._target)
        try:
            if path.is_dir():
                raise AudioFileError(f"{path} is a folder: give a file name")
            if path.exists() and not path.is_file():
                raise AudioFileError(f"{path} is a device or a pipe: give a file name")
            if not (parent := self._target.parent).is_dir():
                raise AudioFileError(f"the folder {parent} does not exist: create it first")
            self._part.open("wb").close()  # libsndfile gives no reason for a failure
        except OSError as error:
            raise AudioFileError(f"cannot write {path}: {error.strerror}") from error
        try:
            self._file = soundfile.SoundFile(
                native_path(self._part),
                "w",
                rate,
                channels,
                subtype=subtype or usual,
                format=container,
            )
        except (soundfile.LibsndfileError, OSError, ValueError) as error:
            self._part.unlink(missing_ok=True)
            raise AudioFileError(f"cannot write {path}: {error}") from error

    def write(self, samples: Audio) -> None:
        """Append ``samples``, float32, (n,) or (n, channels). Raises: AudioFileError after removing
        the file."""
        try:
            # Samples beyond full scale must clip in every encoding, not wrap around.
            self._file.write(np.clip(samples, -1.0, 1.0, dtype=np.float32))
        except (soundfile.LibsndfileError, OSError, AssertionError) as error:
            self.abort()
            raise AudioFileError(
                f"cannot write {self.path} ({error}): is the disk full?"
            ) from error
        self.frames += len(samples)

    def close(self) -> None:
        """Complete the file and rename it to ``path``. Raises: AudioFileError."""
        try:
            self._file.close()
            # libsndfile does not report a disk that fills up in the last buffers.
            written = soundfile.info(native_path(self._part)).frames
            if written != self.frames:
                raise OSError(f"{written} of {self.frames} samples written")
            self._part.replace(self._target)
        except (soundfile.LibsndfileError, OSError) as error:
            self._part.unlink(missing_ok=True)
            raise AudioFileError(
                f"cannot write {self.path} ({error}): is the disk full?"
            ) from error

    def abort(self) -> None:
        """Give up and remove the file."""
        try:
            self._file.close()
        except soundfile.LibsndfileError:
            pass  # removed anyway
        finally:
            self._part.unlink(missing_ok=True)


def _part_of(path: Path) -> Path:
    """Return this process's file to write before it becomes ``path``; long names are cut."""
    kept = os.fsdecode(os.fsencode(path.name)[:_LONGEST_NAME])
    return path.with_name(f"{kept}.{os.getpid()}.part")


def write_audio(path: Path, samples: Audio, rate: int, subtype: str | None = None) -> None:
    """Write ``samples``, float32, (n,) or (n, channels), at ``rate`` Hz, completely or not at all.

    The extension (.wav, .flac, .ogg) sets the format. Raises: AudioFileError.
    """
    writer = AudioWriter(path, rate, subtype, 1 if samples.ndim == 1 else samples.shape[1])
    writer.write(samples)
    writer.close()
