"""Read sound files whose header lacks their true size.

A recorder writes the size of the sound last; one that died leaves 0 or the size of an earlier
block. libsndfile believes it in WAV, AU and CAF files and looks for itself in the others.
"""

from __future__ import annotations

import contextlib
import io
import struct
from collections.abc import Iterator
from typing import BinaryIO

_MOST = 0xFFFF_FFFE


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
        case b".snd" if head[8:] == bytes(4):
            rest = length - int.from_bytes(head[4:8], "big")
            patch = 8, struct.pack(">I", max(0, min(rest, _MOST)))
        case b"caff":
            patch = _caf_patch(stream, length)
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


def _caf_patch(stream: BinaryIO, length: int) -> tuple[int, bytes] | None:
    header = struct.Struct(">4sq")
    for name, at, size in _chunks(stream, header, 8, length):
        if name == b"data":
            true = header.pack(b"data", length - at)
            return (at - header.size, true) if size <= 0 else None
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
