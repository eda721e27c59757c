"""Sound as it is sent: PCM16 and G.711 in bytes, and the engine's float samples."""

from __future__ import annotations

import base64
import binascii
import io
from collections import deque
from dataclasses import dataclass
from typing import Any

import numpy as np
import soundfile

from audio_io.clock import ASSISTANT_RATE, USER_RATE, samples
from audio_io.resample import StreamResampler
from audio_io.signal import Audio
from covo_cli.serve.realtime.wire import WireError

_G711 = {"audio/pcmu": "ULAW", "audio/pcma": "ALAW"}
_G711_RATE = 8_000


@dataclass(frozen=True, slots=True)
class SoundFormat:
    """``kind``: ``audio/pcm``, ``audio/pcmu`` or ``audio/pcma``; ``rate`` in Hz."""

    kind: str
    rate: int

    @classmethod
    def parse(cls, value: Any, rates: tuple[int, ...]) -> SoundFormat:
        """Read a session's ``format``; PCM may have one of ``rates``, the first unless named.

        Raises: ValueError.
        """
        kind = value.get("type", "audio/pcm") if isinstance(value, dict) else None
        if isinstance(kind, str) and kind in _G711:
            return cls(kind, _G711_RATE)
        if kind != "audio/pcm":
            raise ValueError("the format must be audio/pcm, audio/pcmu or audio/pcma")
        rate = value.get("rate") or rates[0]
        if rate not in rates:
            raise ValueError(f"the rate of audio/pcm must be {' or '.join(map(str, rates))}")
        return cls(kind, rate)

    def told(self) -> dict[str, Any]:
        """Return it as a session's ``format``."""
        return {"type": self.kind} | ({"rate": self.rate} if self.kind == "audio/pcm" else {})

    @property
    def sample_bytes(self) -> int:
        """The size of a sample."""
        return 1 if self.kind in _G711 else 2

    def decode(self, data: bytes) -> Audio:
        """Return ``data``, whole samples, as float32 mono at ``rate``."""
        if self.kind == "audio/pcm":
            return np.frombuffer(data, "<i2").astype(np.float32) / np.float32(32768)
        file = io.BytesIO(data)
        raw = {"format": "RAW", "subtype": _G711[self.kind], "channels": 1}
        sound, _ = soundfile.read(file, dtype="float32", samplerate=self.rate, **raw)
        return np.asarray(sound, np.float32)

    def encode(self, sound: Audio) -> bytes:
        """Return ``sound`` (float32 mono at ``rate``) as bytes."""
        if self.kind == "audio/pcm":
            return np.rint(np.clip(sound, -1.0, 1.0) * 32767).astype("<i2").tobytes()
        file = io.BytesIO()
        soundfile.write(file, sound, self.rate, _G711[self.kind], format="RAW")
        return file.getvalue()


PCM_24K = SoundFormat("audio/pcm", ASSISTANT_RATE)


class SoundQueue:
    """Sound that waits, of ``length`` samples (float32 mono). Not thread-safe."""

    def __init__(self) -> None:
        self._pieces: deque[Audio] = deque()
        self.length = 0

    def put(self, sound: Audio) -> None:
        """Add ``sound``, which must not change any more."""
        if len(sound):
            self._pieces.append(sound)
            self.length += len(sound)

    def take(self, most: int) -> Audio:
        """Return the next of what waits, at most ``most`` samples."""
        taken, room = [np.zeros(0, np.float32)], most
        while self._pieces and room:
            piece = self._pieces.popleft()
            if len(piece) > room:
                self._pieces.appendleft(piece[room:])
            taken.append(piece[:room])
            room -= len(taken[-1])
        self.length -= most - room
        return np.concatenate(taken)

    def clear(self) -> None:
        """Drop all."""
        self._pieces.clear()
        self.length = 0


class SoundDecoder:
    """Turns a stream of bytes in ``form`` into samples at 16 kHz."""

    def __init__(self, form: SoundFormat) -> None:
        self.form = form
        self._resampler = StreamResampler(form.rate, USER_RATE, low_latency=True)

    def size(self, seconds: float) -> int:
        """Return how many characters of base64 hold ``seconds`` of sound."""
        return -(-samples(seconds, self.form.rate) * self.form.sample_bytes // 3) * 4

    def decode(self, data: str) -> Audio:
        """Return the samples that are ready after ``data``, whole samples in base64.

        Raises: WireError.
        """
        try:
            sound = base64.b64decode(data, validate=True)
        except (binascii.Error, ValueError) as error:
            raise WireError("audio is not base64", "audio", "invalid_audio") from error
        if len(sound) % self.form.sample_bytes:
            raise WireError("audio ends in half a sample", "audio", "invalid_audio")
        return self._resampler.process(self.form.decode(sound))


class SoundEncoder:
    """Turns a reply's samples at 24 kHz into bytes in ``form``."""

    def __init__(self, form: SoundFormat) -> None:
        self.form = form
        self._resampler = StreamResampler(ASSISTANT_RATE, form.rate, low_latency=True)

    def encode(self, sound: Audio, *, last: bool) -> bytes:
        """Return the bytes that are ready after ``sound``. ``last``: the reply ends with it."""
        ready = self._resampler.process(sound)
        if last:
            ready = np.concatenate((ready, self._resampler.flush()))
        return self.form.encode(ready) if len(ready) else b""
