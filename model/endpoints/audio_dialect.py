"""How an endpoint is asked for speech: turns as sound, and the format of its answer."""

from __future__ import annotations

import base64
import io
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import soundfile

from audio_io.clock import USER_RATE
from audio_io.signal import Audio
from model.endpoints.dialect import Dialect
from model.lite.chat import Message

WAV, PCM16 = "wav", "pcm16"


@dataclass(frozen=True, slots=True)
class SpokenMessage(Message):
    """A turn that is sent as ``sound`` (float32 mono 16 kHz), after ``content`` if there is any."""

    sound: Audio = field(default_factory=lambda: np.zeros(0, np.float32), repr=False, compare=False)


@dataclass(frozen=True, slots=True)
class AudioDialect(Dialect):
    """A :class:`Dialect` that asks for words and sound.

    ``format``: of the sound; a stream is ``pcm16`` at OpenAI, and WAV, whose header tells the rate,
    where it is understood. ``other_format``: to be tried if that is refused. ``voice``: empty for
    the server's own.
    """

    format: str = WAV
    other_format: str = PCM16
    voice: str = ""

    def request(
        self,
        model: str,
        messages: Sequence[Message],
        max_tokens: int,
        tools: Sequence[Mapping[str, Any]] = (),
    ) -> dict[str, Any]:
        body = Dialect.request(self, model, messages, max_tokens, tools)
        audio = {"format": self.format} | ({"voice": self.voice} if self.voice else {})
        return body | {"modalities": ["text", "audio"], "audio": audio}

    def _changes(self, status: int, text: str, messages: Sequence[Message]) -> Iterator[Dialect]:
        if self.other_format and ("format" in text or self.format in text):
            yield replace(self, format=self.other_format, other_format="")
        yield from Dialect._changes(self, status, text, messages)

    def _content(self, message: Message) -> object:
        if not isinstance(message, SpokenMessage):
            return message.content
        sound = {"data": _wav(message.sound), "format": "wav"}
        words = [{"type": "text", "text": message.content}] if message.content else []
        return [*words, {"type": "input_audio", "input_audio": sound}]


def _wav(sound: Audio) -> str:
    """Return ``sound`` as a WAV file with 16 bits in base64."""
    file = io.BytesIO()
    soundfile.write(file, sound, USER_RATE, subtype="PCM_16", format="WAV")
    return base64.b64encode(file.getvalue()).decode()
