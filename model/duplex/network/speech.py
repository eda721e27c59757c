"""From the loop's codes to sound, chunk by chunk.

A pause inside a reply has no code that could be spoken: the stream of speech ends before it and a
new one begins behind it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import groupby
from typing import Generic, Protocol, TypeVar

import numpy as np

from audio_io.clock import ASSISTANT_RATE
from audio_io.signal import Audio
from model.covo.config.config import SamplingConfig
from model.covo.speech.chunk_schedule import ChunkSchedule
from model.covo.speech.speech_stream import SpeechSettings, SpeechStream
from model.covo.speech.speech_worker import SpeechWorker
from model.covo.speech.token2wav import VoicePrompt
from model.duplex.protocol.sequence import SILENCE
from model.duplex.tones.tone_codec import tones

State = TypeVar("State")


class SpeechDecoder(Protocol[State]):
    """Makes sound of codes; its state is kept by whoever calls it."""

    def start(self) -> State:
        """The state before the first code."""

    def step(self, state: State, codes: Sequence[int], *, last: bool) -> tuple[Audio, State]:
        """What ``codes`` add: float32 at 24 kHz, and the next state. ``last``: all that is left."""


class ToneSpeech:
    """Speaks synthetic codes (:mod:`model.duplex.tones.tone_codec`); nothing is held back."""

    def __init__(self, code_rate: float) -> None:
        self._code_rate = code_rate

    def start(self) -> None:
        """There is no state."""

    def step(self, state: None, codes: Sequence[int], *, last: bool) -> tuple[Audio, None]:
        """Each code is its tone."""
        return tones(tuple(codes), ASSISTANT_RATE, self._code_rate), None


class Token2WavSpeech:
    """Covo-Audio's own speech: flow matching by continuation and a streaming vocoder, a chunk's
    codes at a time. ``chunk``: codes per chunk; ``sampling``: how the flow is solved (None: as the
    checkpoint says)."""

    def __init__(
        self,
        worker: SpeechWorker,
        voice: VoicePrompt,
        chunk: int,
        sampling: SamplingConfig | None = None,
    ) -> None:
        self._worker = worker
        self._voice = voice
        # What the loop has said must be heard while it says the next: a chunk at a time, and no
        # look-ahead, which would hold back half of the chunk.
        self._settings = SpeechSettings(ChunkSchedule(sizes=(chunk,), look_ahead=0), sampling)

    def start(self) -> SpeechStream:
        """The state before a reply."""
        return self._worker.start(self._voice, self._settings)

    def step(
        self, state: SpeechStream, codes: Sequence[int], *, last: bool
    ) -> tuple[Audio, SpeechStream]:
        """Waits for the sound."""
        piece, after = self._worker.step(state, codes, last=last)
        return piece.samples(), after


@dataclass(frozen=True, slots=True)
class SpokenState(Generic[State]):
    """Where a reply's sound is. ``stream``: the decoder's state, or nothing before the first code
    and in a pause; ``began``: whether the reply has sounded."""

    stream: tuple[State, ...] = ()
    began: bool = False


def speak(
    decoder: SpeechDecoder[State],
    state: SpokenState[State],
    codes: Sequence[int],
    code_rate: float,
    *,
    last: bool,
) -> tuple[Audio, SpokenState[State]]:
    """The sound of the next ``codes`` of a reply (SILENCE: a pause), float32 at 24 kHz, and the
    state behind it. Silence before a reply's first code is not spoken."""
    pieces = [np.zeros(0, np.float32)]
    stream, began = state.stream, state.began
    for silent, run in groupby(codes, lambda code: code == SILENCE):
        spoken = list(run)
        if not silent:
            before = stream[0] if stream else decoder.start()
            sound, after = decoder.step(before, spoken, last=False)
            pieces.append(sound)
            stream, began = (after,), True
        elif began:
            pieces += _rest(decoder, stream)
            stream = ()
            pieces.append(np.zeros(round(len(spoken) * ASSISTANT_RATE / code_rate), np.float32))
    if last:
        pieces += _rest(decoder, stream)
        stream = ()
    return np.concatenate(pieces), SpokenState(stream, began)


def _rest(decoder: SpeechDecoder[State], stream: tuple[State, ...]) -> list[Audio]:
    return [decoder.step(before, (), last=True)[0] for before in stream]
