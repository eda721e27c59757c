"""Sound files, read and written. As the ends of a conversation: :mod:`audio_io.file_endpoints`.

Everything soundfile reads is welcome: WAV, FLAC, Ogg, any subtype, any rate; channels are averaged.
Whatever is written goes to a ``.part`` file beside its place first and is renamed when it is whole.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import soundfile

from audio_io.errors import AudioFileError
from audio_io.resample import StreamResampler
from audio_io.signal import Audio

_BLOCK_SECONDS = 0.5
_FORMATS = {
    ".wav": ("WAV", "PCM_16"),
    ".flac": ("FLAC", "PCM_16"),
    ".ogg": ("OGG", "VORBIS"),
    ".oga": ("OGG", "VORBIS"),
}


def open_audio(path: Path) -> Any:
    """Open a sound file for reading: a soundfile.SoundFile with at least one sample.

    Raises: AudioFileError when it is missing, a folder, not sound, or empty.
    """
    if not path.exists():
        raise AudioFileError(f"{path}: no such file")
    if path.is_dir():
        raise AudioFileError(f"{path} is a folder: name a sound file")
    try:
        file = soundfile.SoundFile(path)
    except (soundfile.LibsndfileError, OSError, TypeError) as error:  # TypeError: a headerless one
        reason = getattr(error, "error_string", None) or str(error)
        raise AudioFileError(
            f"{path} is not a sound file that can be read ({reason.strip().rstrip('.')}): "
            "use WAV, FLAC or Ogg"
        ) from error
    if file.frames == 0:
        file.close()
        raise AudioFileError(f"{path} has no samples in it")
    return file


def mono_blocks(file: Any, path: Path) -> Iterator[Audio]:
    """The rest of an open sound file in blocks of half a second, channels averaged, own rate.

    Raises: AudioFileError when a sample is not a number, or the file breaks off.
    """
    size = max(1, round(_BLOCK_SECONDS * file.samplerate))
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
                f"{path} has samples that are not numbers (NaN or infinity), at {second:.3f} s"
            )
        done += len(block)
        yield np.ascontiguousarray(block.mean(axis=1, dtype=np.float32))


def read_audio(path: Path, rate: int) -> Audio:
    """All of a sound file at ``rate`` Hz: float32 mono, (samples,). Raises: AudioFileError."""
    with open_audio(path) as file:
        resampler = StreamResampler(file.samplerate, rate)
        pieces = [resampler.process(block) for block in mono_blocks(file, path)]
        pieces.append(resampler.flush())
    samples = np.concatenate(pieces)
    if len(samples) == 0:
        raise AudioFileError(f"{path} has no samples in it")
    return samples


class AudioWriter:
    """Writes a mono sound file piece by piece; it is at its place only once :meth:`close` is done.

    The format follows the extension; ``subtype`` is soundfile's name of the encoding (by default
    16-bit PCM, Vorbis for Ogg). Raises: AudioFileError, at once when the place cannot be written.
    """

    def __init__(self, path: Path, rate: int, subtype: str | None = None) -> None:
        try:
            container, usual = _FORMATS[path.suffix.lower()]
        except KeyError:
            known = ", ".join(sorted(_FORMATS))
            raise AudioFileError(
                f"{path}: the extension must be one of {known}, to say the format"
            ) from None
        if path.is_dir():
            raise AudioFileError(f"{path} is a folder: name a file")
        self.path = path
        self.frames = 0
        self._part = path.with_name(path.name + ".part")
        if not path.parent.is_dir():
            raise AudioFileError(f"the folder {path.parent} does not exist: make it first")
        try:
            self._part.open("wb").close()  # the operating system says why not, libsndfile does not
        except OSError as error:
            raise AudioFileError(f"cannot write {path}: {error.strerror}") from error
        try:
            self._file = soundfile.SoundFile(
                self._part, "w", rate, 1, subtype=subtype or usual, format=container
            )
        except (soundfile.LibsndfileError, OSError, ValueError) as error:
            self._part.unlink(missing_ok=True)
            raise AudioFileError(f"cannot write {path}: {error}") from error

    def write(self, samples: Audio) -> None:
        """Append ``samples`` (float32 mono). Raises: AudioFileError, and nothing is left behind."""
        try:
            # A sample beyond full scale must clip, not wrap around, in whatever encoding.
            self._file.write(np.clip(samples, -1.0, 1.0, dtype=np.float32))
        except (soundfile.LibsndfileError, OSError, AssertionError) as error:
            self.abort()
            raise AudioFileError(
                f"cannot write {self.path} ({error}): is the disk full?"
            ) from error
        self.frames += len(samples)

    def close(self) -> None:
        """Complete the file and put it at its place. Raises: AudioFileError."""
        try:
            self._file.close()
            # libsndfile does not report a disk that fills up while the last buffers are written.
            written = soundfile.info(self._part).frames
            if written != self.frames:
                raise OSError(f"{written} of {self.frames} samples arrived")
            self._part.replace(self.path)
        except (soundfile.LibsndfileError, OSError) as error:
            self._part.unlink(missing_ok=True)
            raise AudioFileError(
                f"cannot write {self.path} ({error}): is the disk full?"
            ) from error

    def abort(self) -> None:
        """Give up: nothing is left behind."""
        try:
            self._file.close()
        except soundfile.LibsndfileError:
            pass  # it is thrown away all the same
        finally:
            self._part.unlink(missing_ok=True)


def write_audio(path: Path, samples: Audio, rate: int, subtype: str | None = None) -> None:
    """Write ``samples`` (float32 mono) at ``rate`` Hz, whole or not at all.

    The format follows the extension (.wav, .flac, .ogg). Raises: AudioFileError.
    """
    writer = AudioWriter(path, rate, subtype)
    writer.write(samples)
    writer.close()
