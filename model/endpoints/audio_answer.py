"""Read an answer that is words and sound, in either of two shapes.

OpenAI: ``delta.audio`` has ``transcript`` and ``data``, raw 16-bit samples at 24 kHz. vLLM-Omni: a
chunk has a ``modality``; of ``audio``, the content is a WAV file of its own. Qwen's own service
sends OpenAI's shape for either format.
"""

from __future__ import annotations

import base64
import io
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import soundfile
import soxr

from audio_io.clock import ASSISTANT_RATE
from audio_io.signal import Audio
from model.lite.reply_reader import ChatPart, ReplyReader
from model.playback.spoken_text import SaidWords
from model.reply import ReplyAudio, ReplyNotice, ReplyPart, ReplyText

_SAMPLE = 2
"""Bytes of a raw sample."""


class AudioReading:
    """Reads one answer and passes its parts to ``take`` until that returns false."""

    def __init__(self, reader: ReplyReader, take: Callable[[Sequence[ReplyPart]], bool]) -> None:
        self._reader = reader
        self._take = take
        self._sound = SoundReader()
        self._words = SaidWords()
        self.sounded = False
        """Whether there was any sound."""

    @property
    def begun(self) -> bool:
        return self.sounded or self._reader.characters > 0

    @property
    def finished(self) -> bool:
        return self._reader.finished

    @property
    def complete(self) -> bool:
        return False  # sound may follow the end of the words

    def take(
        self, event: Mapping[str, Any], message: Mapping[str, Any], reason: str | None
    ) -> bool:
        text: object = message.get("content")
        data: object = None
        if event.get("modality") == "audio" and isinstance(text, str):
            text, data = None, text
        if isinstance(audio := message.get("audio"), Mapping):
            text, data = audio.get("transcript") or text, audio.get("data")
        parts = self._written(self._reader.read({**message, "content": text}, reason))
        if data:
            if not isinstance(data, str):
                raise ValueError(f"its sound is no text but {type(data).__name__}")
            parts += self._spoken(self._sound.read(base64.b64decode(data, validate=True)))
        return self._take(parts) and not self._reader.endless

    def end(self) -> list[ReplyPart]:
        """Return the rest of the answer. Raises: ChatError if there was nothing for the user."""
        parts = self._spoken(self._sound.end())
        if self.sounded and not self._reader.characters:
            return [*parts, ReplyNotice("info", "the reply came without its words")]
        parts += self._written(self._reader.end())
        if not self.sounded:
            parts.append(
                ReplyNotice("warning", "the reply came without sound: does the model speak?")
            )
        return parts

    def _written(self, parts: Sequence[ChatPart]) -> list[ReplyPart]:
        written: list[ReplyPart] = []
        for part in parts:
            if isinstance(part, str):
                self._words.write(part)
                written.append(ReplyText(part))
            elif isinstance(part, ReplyNotice):
                written.append(part)
        return written

    def _spoken(self, sound: Audio) -> list[ReplyPart]:
        """Return ``sound`` and what it says, or nothing for no sound."""
        if not len(sound):
            return []
        self.sounded = True
        return [ReplyAudio(sound, self._words.take(len(sound)))]


class SoundReader:
    """Turns pieces of sound, each a WAV file or raw 16-bit samples, into float32 mono 24 kHz.

    ``rate``: of raw samples before any header has told one.
    """

    def __init__(self, rate: int = ASSISTANT_RATE) -> None:
        self._half = b""  # a sample may be split between pieces
        self._rate = rate
        self._resampler: soxr.ResampleStream | None = None

    def read(self, data: bytes) -> Audio:
        """Return the sound of the next piece. Raises: ValueError if it is none."""
        if data[:4] == b"RIFF":
            try:
                samples, rate = soundfile.read(io.BytesIO(data), dtype="float32", always_2d=True)
            except soundfile.LibsndfileError as error:
                raise ValueError(f"its sound is no WAV file ({error})") from error
            return self._resampled(samples.mean(axis=1).astype(np.float32), rate)
        data = self._half + data
        whole = len(data) // _SAMPLE * _SAMPLE
        self._half = data[whole:]
        raw = np.frombuffer(data[:whole], "<i2").astype(np.float32) / np.float32(32768)
        return self._resampled(raw, self._rate)

    def end(self) -> Audio:
        """Return the rest of the sound."""
        self._half = b""
        return self._resampled(np.zeros(0, np.float32), self._rate, last=True)

    def _resampled(self, samples: Audio, rate: int, *, last: bool = False) -> Audio:
        if rate != self._rate:
            self._rate, self._resampler = rate, None
        if rate == ASSISTANT_RATE or (last and self._resampler is None):
            return samples
        if self._resampler is None:
            self._resampler = soxr.ResampleStream(rate, ASSISTANT_RATE, 1, dtype="float32")
        resampled: Audio = self._resampler.resample_chunk(samples, last=last)
        return resampled
