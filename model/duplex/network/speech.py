"""Turn the loop's codes into sound, chunk by chunk.

No code means a pause, so the stream of speech ends before a pause and a new one begins after it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import groupby
from typing import Generic, Protocol, TypeVar

import numpy as np

from audio_io.clock import ASSISTANT_RATE
from audio_io.signal import Audio
from model.covo.config.token2wav_config import SamplingConfig
from model.covo.speech.chunk_schedule import ChunkSchedule
from model.covo.speech.speech_stream import SpeechSettings, SpeechStream
from model.covo.speech.speech_worker import SpeechWorker
from model.covo.speech.token2wav import VoicePrompt
from model.duplex.network.tone_codec import tones
from model.duplex.protocol.sequence import SILENCE

State = TypeVar("State")


class SpeechDecoder(Protocol[State]):
    """Turns codes into sound. The caller keeps its state."""

    def start(self) -> State:
        """Return the state before the first code."""

    def step(self, state: State, codes: Sequence[int], *, last: bool) -> tuple[Audio, State]:
        """Return the sound that ``codes`` add (float32, 24 kHz), and the next state.

        ``last``: return all remaining sound.
        """


class ToneSpeech:
    """Speaks synthetic codes (:mod:`model.duplex.network.tone_codec`), without delay."""

    def __init__(self, code_rate: float) -> None:
        self._code_rate = code_rate

    def start(self) -> None:
        """Tones need no state."""

    def step(self, state: None, codes: Sequence[int], *, last: bool) -> tuple[Audio, None]:
        """Return the tone of each code."""
        return tones(tuple(codes), ASSISTANT_RATE, self._code_rate), None


class Token2WavSpeech:
    """Covo-Audio's own speech: flow matching by continuation, and a streaming vocoder.

    ``chunk``: codes per chunk. ``sampling``: of the flow; None takes the checkpoint's.
    """

    def __init__(
        self,
        worker: SpeechWorker,
        voice: VoicePrompt,
        chunk: int,
        sampling: SamplingConfig | None = None,
    ) -> None:
        self._worker = worker
        self._voice = voice
        # A chunk must be heard while the loop makes the next one: a look-ahead would hold back
        # half of it.
        self._settings = SpeechSettings(ChunkSchedule(sizes=(chunk,), look_ahead=0), sampling)

    def start(self) -> SpeechStream:
        """Return the state before a reply."""
        return self._worker.start(self._voice, self._settings)

    def step(
        self, state: SpeechStream, codes: Sequence[int], *, last: bool
    ) -> tuple[Audio, SpeechStream]:
        """Return the sound, waiting for it."""
        return self._worker.step(state, codes, last=last)


@dataclass(frozen=True, slots=True)
class SpokenState(Generic[State]):
    """The state of a reply's sound.

    ``stream``: the decoder's state; empty before the first code and in a pause. ``began``: whether
    the reply has sounded.
    """

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
    """Return the sound of a reply's next ``codes`` (float32, 24 kHz), and the next state.

    SILENCE is a pause, but nothing before the reply's first code. ``last``: no codes follow.
    """
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
