"""Read sound files of which libsndfile would read too little.

A recorder writes the size of the sound last; one that died leaves 0 or the size of an earlier
block. libsndfile believes it in WAV, AU, CAF and AIFF files and looks for itself in most others. Of
Ogg files that are several in a row, as radio stations send, it reads the first.
"""

from __future__ import annotations

import contextlib
import io
import struct
import tempfile
from collections.abc import Iterator
from itertools import pairwise
from typing import Any, BinaryIO

import numpy as np
import soundfile
import soxr
from numpy.typing import NDArray

_MOST = 0xFFFF_FFFE

_LONG_SIZE = 28
"""Place of the size of the sound in an RF64 file."""
_PAGE_HEADER = 27
"""Bytes of a page before its table of segments; byte 5 has flags, byte 26 the table's length."""
_BEGINS = 0x02
_BLOCK_SIZE = 1 << 16


def with_true_size(stream: BinaryIO) -> io.RawIOBase:
    """Return ``stream`` with the true size in its header, for libsndfile.

    Reading and seeking raise nothing: libsndfile cannot pass it on, and finds the sound cut short.
    Raises: OSError.
    """
    length = stream.seek(0, io.SEEK_END)
    stream.seek(0)
    head = stream.read(12)
    patch: tuple[int, bytes] | None = None
    match head[:4]:
        case b"RIFF" | b"RIFX" if head[8:] == b"WAVE":
            order = "<" if head[:4] == b"RIFF" else ">"
            patch = _wave_patch(stream, struct.Struct(f"{order}4sI"), length)
        case b".snd":
            rest = length - int.from_bytes(head[4:8], "big")
            patch = 8, struct.pack(">I", max(0, min(rest, _MOST)))
        case b"BW64":  # RF64 by another name
            patch = 0, b"RF64"
        case b"RF64":
            patch = _long_wave_patch(stream, length)
        case b"caff":
            patch = _empty_patch(stream, b"data", 4, struct.Struct(">4sq"), 8, length)
        case b"FORM" if head[8:] in (b"AIFF", b"AIFC"):
            patch = _empty_patch(stream, b"SSND", 8, struct.Struct(">4sI"), 12, length)
    stream.seek(0)
    return _Patched(stream, *(patch or (0, b"")))


def _wave_patch(stream: BinaryIO, header: struct.Struct, length: int) -> tuple[int, bytes] | None:
    for name, at, size in _chunks(stream, header, 12, length):
        if name != b"data":
            continue
        end = at + size
        filled_in = size > 0 and end >= length
        if filled_in or at == length or _more_chunks(stream, header, end + size % 2, length):
            return None
        return at - header.size, header.pack(b"data", min(length - at, _MOST))
    return None


def _long_wave_patch(stream: BinaryIO, length: int) -> tuple[int, bytes] | None:
    """Return the patch for the size in the chunk ds64, which comes first, if it is 0."""
    sizes = _chunks(stream, struct.Struct("<4sI"), 12, length)
    data = next((at for name, at, _ in sizes if name == b"data"), None)
    stream.seek(_LONG_SIZE)
    empty = data is not None and stream.read(8) == bytes(8)
    return (_LONG_SIZE, struct.pack("<Q", length - data)) if data and empty else None


def _empty_patch(
    stream: BinaryIO, wanted: bytes, least: int, header: struct.Struct, begin: int, length: int
) -> tuple[int, bytes] | None:
    """Return the patch for the chunk ``wanted`` if its size is that of no sound, ``least``, or of
    more than there is."""
    for name, at, size in _chunks(stream, header, begin, length):
        if name == wanted:
            most = 256 ** (header.size - len(wanted)) // 2 - 1
            true = header.pack(wanted, min(length - at, most))
            return (at - header.size, true) if size <= least or at + size > length else None
    return None


def _chunks(
    stream: BinaryIO, header: struct.Struct, at: int, length: int
) -> Iterator[tuple[bytes, int, int]]:
    """Yield the name, the place of the content and the size of each chunk from ``at`` on."""
    while at + header.size <= length:
        stream.seek(at)
        name, size = header.unpack(stream.read(header.size))
        at += header.size
        yield name, at, size
        if size < 0:
            return
        at += size + size % 2


def _more_chunks(stream: BinaryIO, header: struct.Struct, at: int, length: int) -> bool:
    """Return whether chunks follow from ``at`` to the end, and not sound."""
    found = False
    for name, _, _ in _chunks(stream, header, at, length):
        if not (name.isascii() and name.decode().isprintable()):
            return False
        found = True
    return found


class _Patched(io.RawIOBase):
    """A file with other bytes at one place, as a stream."""

    def __init__(self, stream: BinaryIO, at: int, patch: bytes) -> None:
        self._stream = stream
        self._at = at
        self._patch = patch

    def seekable(self) -> bool:
        return True

    def readable(self) -> bool:
        return True

    def tell(self) -> int:
        return self._stream.tell()

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        with contextlib.suppress(OSError, ValueError):  # to where a damaged header points
            self._stream.seek(offset, whence)
        return self._stream.tell()

    def readinto(self, buffer: bytearray | memoryview) -> int:  # type: ignore[override]
        """Read what comes next; nothing after an error."""
        data = b""
        with contextlib.suppress(OSError):
            start = self._stream.tell()
            data = self._stream.read(len(buffer))
            first, last = max(start, self._at), min(start + len(data), self._at + len(self._patch))
            if first < last:
                piece = self._patch[first - self._at : last - self._at]
                data = data[: first - start] + piece + data[last - start :]
        buffer[: len(data)] = data
        return len(data)

    def close(self) -> None:
        self._stream.close()
        super().close()


def in_one_file(stream: BinaryIO) -> BinaryIO:
    """Return ``stream``, or the Ogg files in it as one WAV file in the first one's rate and
    channels; without what follows the last whole page, as where a recorder died.

    Raises: OSError, LibsndfileError.
    """
    begins = list(_begins(stream))
    length = stream.seek(0, io.SEEK_END)
    stream.seek(0)
    if len(begins) < 2 or begins == [0, length]:
        return stream
    if len(begins) == 2:
        with stream:
            return io.BytesIO(stream.read(begins[1]))
    joined = tempfile.TemporaryFile()  # noqa: SIM115 - closed by its reader
    with stream, soundfile.SoundFile(io.BytesIO(stream.read(begins[1]))) as first:
        rate, channels = first.samplerate, first.channels
        with soundfile.SoundFile(joined, "w", rate, channels, "PCM_16", format="RF64") as whole:
            for begin, end in pairwise(begins):
                stream.seek(begin)
                with soundfile.SoundFile(io.BytesIO(stream.read(end - begin))) as file:
                    for block in _blocks(file, rate, channels):
                        whole.write(np.clip(block, -1.0, 1.0))
    return joined


def _begins(stream: BinaryIO) -> Iterator[int]:
    """Yield where each file begins, and where the last one ends. Those of streams side by side
    begin together."""
    length = stream.seek(0, io.SEEK_END)
    at, beginning = stream.seek(0), False
    while (page := stream.read(_PAGE_HEADER))[:4] == b"OggS" and len(page) == _PAGE_HEADER:
        end = at + _PAGE_HEADER + page[26] + sum(stream.read(page[26]))
        if end > length:
            break
        before, beginning = beginning, bool(page[5] & _BEGINS)
        if beginning and not before:
            yield at
        at = stream.seek(end)
    yield at


def _blocks(file: Any, rate: int, channels: int) -> Iterator[NDArray[np.float32]]:
    """Yield the sound of ``file`` in blocks, (samples, channels) at ``rate``."""
    resampler = soxr.ResampleStream(file.samplerate, rate, channels, dtype="float32")
    while len(block := file.read(_BLOCK_SIZE, dtype="float32", always_2d=True)):
        if file.channels != channels:
            block = np.repeat(block.mean(axis=1, keepdims=True), channels, axis=1)
        yield resampler.resample_chunk(block)
    yield resampler.resample_chunk(np.zeros((0, channels), np.float32), last=True)
