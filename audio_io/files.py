"""Read and write sound files; :mod:`audio_io.file_endpoints` makes endpoints of them.

Reads whatever soundfile does (WAV, FLAC, Ogg, any subtype and rate) and averages the channels.
Writes to a ``.part`` file beside the target and renames it once it is complete.
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

_BLOCK_S = 0.5
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
        raise AudioFileError(f"{path} is a folder: give a sound file")
    try:
        file = soundfile.SoundFile(path)
    except (soundfile.LibsndfileError, OSError, TypeError) as error:  # TypeError: no header
        reason = getattr(error, "error_string", None) or str(error)
        raise AudioFileError(
            f"{path} is not a sound file that can be read ({reason.strip().rstrip('.')}): "
            "use WAV, FLAC or Ogg"
        ) from error
    if file.frames == 0:
        file.close()
        raise AudioFileError(f"{path} is empty: it has no samples")
    return file


def mono_blocks(file: Any, path: Path) -> Iterator[Audio]:
    """Yield the rest of an open sound file at its own rate, in mono blocks of half a second.

    Raises: AudioFileError when a sample is not a number or the file is cut short.
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
        yield np.ascontiguousarray(block.mean(axis=1, dtype=np.float32))


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
    """Writes a mono sound file piece by piece; ``path`` appears once :meth:`close` has returned.

    The extension sets the format, ``subtype`` soundfile's encoding (by default 16-bit PCM, for Ogg
    Vorbis). Raises: AudioFileError, at once when ``path`` is not writable.
    """

    def __init__(self, path: Path, rate: int, subtype: str | None = None) -> None:
        try:
            container, usual = _FORMATS[path.suffix.lower()]
        except KeyError:
            known = ", ".join(sorted(_FORMATS))
            raise AudioFileError(f"{path}: the extension must be one of {known}") from None
        if path.is_dir():
            raise AudioFileError(f"{path} is a folder: give a file name")
        self.path = path
        self.frames = 0
        self._part = path.with_name(path.name + ".part")
        if not path.parent.is_dir():
            raise AudioFileError(f"the folder {path.parent} does not exist: create it first")
        try:
            self._part.open("wb").close()  # libsndfile gives no reason for a failure
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
        """Append ``samples`` (float32 mono). Raises: AudioFileError after removing the file."""
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
            written = soundfile.info(self._part).frames
            if written != self.frames:
                raise OSError(f"{written} of {self.frames} samples written")
            self._part.replace(self.path)
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


def write_audio(path: Path, samples: Audio, rate: int, subtype: str | None = None) -> None:
    """Write ``samples`` (float32 mono) at ``rate`` Hz, completely or not at all.

    The extension (.wav, .flac, .ogg) sets the format. Raises: AudioFileError.
    """
    writer = AudioWriter(path, rate, subtype)
    writer.write(samples)
    writer.close()
