"""Sound files: read whole, written whole, or as the two ends of a conversation.

Everything soundfile reads is welcome: WAV, FLAC, Ogg, any subtype, any rate; channels are averaged.
Whatever is written goes to a ``.part`` file beside its place first and is renamed when it is whole.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import soundfile

from audio_io.endpoints import (
    MIC_FRAME,
    MIC_RATE,
    SPEAKER_FRAME,
    SPEAKER_RATE,
    Audio,
    EndpointStatus,
    Played,
)
from audio_io.errors import AudioFileError
from audio_io.pacer import Pacer
from audio_io.playout import Playout
from audio_io.resample import StreamResampler

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


class FileMicrophone:
    """A sound file as the person speaking, read block by block, so that hours of it fit.

    When the file is over (:attr:`exhausted`), silence follows without end, because the conversation
    runs on until the last reply ends; it ends by :meth:`close`. ``paced``: frames come in real time
    (:mod:`audio_io.pacer`), otherwise as fast as they are read.
    """

    def __init__(
        self,
        path: Path,
        paced: bool,
        clock: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        self._path = path
        self._pacer = Pacer(clock, sleep) if paced else None
        self._file: Any = None
        self._blocks: Iterator[Audio] = iter(())
        self._resampler = StreamResampler(MIC_RATE, MIC_RATE)
        self._pending = np.zeros(0, np.float32)
        self._source_over = False
        self._closed = False

    def start(self) -> None:
        """Open the file. Raises: AudioFileError, also when a float file holds NaN anywhere."""
        with open_audio(self._path) as file:
            if file.subtype in ("FLOAT", "DOUBLE"):  # the encodings that can hold what is no number
                for _ in mono_blocks(file, self._path):
                    pass
        self._file = open_audio(self._path)
        self._resampler = StreamResampler(self._file.samplerate, MIC_RATE)
        self._blocks = mono_blocks(self._file, self._path)

    def read(self, timeout: float) -> Audio | None:
        """See :meth:`audio_io.endpoints.Microphone.read`. Raises: AudioFileError."""
        if self._closed or self._file is None:
            return None
        if self._pacer is not None and not self._pacer.wait(timeout):
            return None
        self._fill()
        frame = np.zeros(MIC_FRAME, np.float32)
        ready = self._pending[:MIC_FRAME]
        frame[: len(ready)] = ready
        self._pending = self._pending[MIC_FRAME:]
        return frame

    def _fill(self) -> None:
        while len(self._pending) < MIC_FRAME and not self._source_over:
            block = next(self._blocks, None)
            if block is None:
                self._source_over = True
                more = self._resampler.flush()
            else:
                more = self._resampler.process(block)
            self._pending = np.concatenate([self._pending, more])

    @property
    def exhausted(self) -> bool:
        """Whether all of the file's own sound has been read; what comes now is silence."""
        if self._file is not None and not self._closed:
            self._fill()
        return self._source_over and len(self._pending) == 0

    @property
    def ended(self) -> bool:
        """Whether it was closed."""
        return self._closed

    @property
    def status(self) -> EndpointStatus:
        """The file's name."""
        return EndpointStatus(device=self._path.name)

    def close(self) -> None:
        """Close the file. Safe to call twice."""
        self._closed = True
        if self._file is not None:
            self._file.close()


class FileSpeaker:
    """A sound file (or nothing, for ``None``) as the listener, on the microphone's clock.

    Every :meth:`tick` renders one frame and appends it, so that the file is as long as the ticks
    are: exactly 480 samples each at 24 kHz, exactly 320 at 16 kHz.
    """

    def __init__(self, path: Path | None, rate: int = SPEAKER_RATE) -> None:
        self._path = path
        self._rate = rate
        self._playout = Playout()
        self._resampler = StreamResampler(SPEAKER_RATE, rate)
        self._writer: AudioWriter | None = None

    def start(self) -> None:
        """Open the file. Raises: AudioFileError when it cannot be written."""
        if self._path is not None:
            self._writer = AudioWriter(self._path, self._rate)

    def play(self, reply: int, samples: Audio) -> None:
        """See :meth:`audio_io.endpoints.Speaker.play`."""
        self._playout.play(reply, samples)

    def duck(self) -> None:
        """See :meth:`audio_io.endpoints.Speaker.duck`."""
        self._playout.duck()

    def hold(self) -> None:
        """See :meth:`audio_io.endpoints.Speaker.hold`."""
        self._playout.hold()

    def resume(self) -> None:
        """See :meth:`audio_io.endpoints.Speaker.resume`."""
        self._playout.resume()

    def stop(self) -> None:
        """See :meth:`audio_io.endpoints.Speaker.stop`."""
        self._playout.stop()

    def tick(self) -> Audio:
        """Play one frame: float32, shape (480,), 24 kHz. Raises: AudioFileError."""
        block = self._playout.render(SPEAKER_FRAME)
        if self._writer is not None:
            try:
                self._writer.write(self._resampler.process(block))
            except AudioFileError:
                self._writer = None
                raise
        return block

    @property
    def played(self) -> Played:
        """The position after the last tick."""
        return self._playout.played_at(self._playout.rendered)

    @property
    def status(self) -> EndpointStatus:
        """The file's name, and how often a reply ran dry."""
        name = "nowhere" if self._path is None else self._path.name
        return EndpointStatus(device=name, starved=self._playout.starved)

    def close(self) -> None:
        """Complete the file and put it at its place; without a tick, there is none. Safe to call
        twice. Raises: AudioFileError."""
        writer, self._writer = self._writer, None
        if writer is None:
            return
        if self._playout.rendered == 0:
            writer.abort()
            return
        writer.write(self._resampler.flush())
        writer.close()
