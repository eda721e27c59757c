"""Turn the loop's codes into sound, chunk by chunk."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import groupby
from typing import Any, Protocol

import numpy as np

from audio_io.clock import ASSISTANT_RATE
from audio_io.signal import Audio
from model.covo.config.token2wav_config import SamplingConfig
from model.covo.speech.chunk_schedule import ChunkSchedule
from model.covo.speech.speech_stream import SpeechSettings, SpeechStream, SpeechStreamer
from model.covo.speech.speech_worker import SpeechWorker
from model.covo.speech.token2wav import Token2Wav, VoicePrompt
from model.duplex.network.tone_codec import tones
from model.duplex.protocol.profile import DuplexProfile
from model.duplex.protocol.sequence import SILENCE
from model.playback.limiter import louder_by


class SpeechDecoder(Protocol):
    """Turns codes into sound. The caller keeps its state."""

    def warm_up(self) -> None:
        """Speak once, so that the first reply is as fast as later ones."""

    def start(self) -> Any:
        """Return the state before the first code."""

    def step(self, state: Any, codes: Sequence[int], *, last: bool) -> tuple[Audio, Any]:
        """Return the sound that ``codes`` add (float32, 24 kHz), and the next state.

        ``last``: return all remaining sound.
        """


class ToneSpeech:
    """Speaks synthetic codes (:mod:`model.duplex.network.tone_codec`), without delay."""

    def __init__(self, code_rate: float) -> None:
        self._code_rate = code_rate

    def warm_up(self) -> None:
        """Tones need no warm-up."""

    def start(self) -> None:
        """Tones need no state."""

    def step(self, state: None, codes: Sequence[int], *, last: bool) -> tuple[Audio, None]:
        """Return the tone of each code."""
        return tones(tuple(codes), ASSISTANT_RATE, self._code_rate), None


class Token2WavSpeech:
    """Covo-Audio's own speech: flow matching by continuation, and a streaming vocoder."""

    def __init__(self, worker: SpeechWorker, voice: VoicePrompt) -> None:
        self._worker = worker
        self._voice = voice

    @classmethod
    def chunkwise(
        cls,
        token2wav: Token2Wav,
        voice: VoicePrompt,
        profile: DuplexProfile,
        sampling: SamplingConfig | None = None,
        *,
        graph: bool = True,
    ) -> Token2WavSpeech:
        """Return speech that turns the codes of each chunk of ``profile`` into sound at once.

        A chunk must be heard while the loop makes the next one, so there is no look-ahead, which
        would hold back half of it. ``sampling``: as the checkpoint says unless given;
        ``graph``: use CUDA graphs.
        """
        schedule = ChunkSchedule(sizes=(profile.codes_per_chunk,), look_ahead=0)
        settings = SpeechSettings(schedule, sampling)
        return cls(SpeechWorker(SpeechStreamer(token2wav), settings, graph=graph), voice)

    def warm_up(self) -> None:
        """Make a chunk of every kind."""
        self._worker.warm_up(self._voice)

    def start(self) -> SpeechStream:
        """Return the state before a reply."""
        return self._worker.start(self._voice)

    def step(
        self, state: SpeechStream, codes: Sequence[int], *, last: bool
    ) -> tuple[Audio, SpeechStream]:
        """Return the sound, waiting for it."""
        return self._worker.step(state, codes, last=last)


class ReplySound:
    """Turns the codes of one reply into sound. SILENCE is a pause, except before the first code.

    The decoder's stream ends before a pause, and a new one begins after it. ``loudness``: dB by
    which it is louder, as far as peaks allow.
    """

    def __init__(self, decoder: SpeechDecoder, code_rate: float, loudness: float = 0.0) -> None:
        self._decoder = decoder
        self._code_rate = code_rate
        self._louder = louder_by(loudness)
        self._state: Any = None
        self._streaming = False
        self._began = False

    def add(self, codes: Sequence[int], *, last: bool = False) -> Audio:
        """Return the sound that ``codes`` add (float32, 24 kHz); ``last``: no codes follow."""
        pieces = [np.zeros(0, np.float32)]
        for silent, run in groupby(codes, lambda code: code == SILENCE):
            same = list(run)
            if not silent:
                if not self._streaming:
                    self._state, self._streaming, self._began = self._decoder.start(), True, True
                pieces.append(self._step(same))
            elif self._began:
                pieces += self._rest()
                pause = round(len(same) * ASSISTANT_RATE / self._code_rate)
                pieces.append(np.zeros(pause, np.float32))
        if last:
            pieces += self._rest()
        return np.concatenate(pieces)

    def _step(self, codes: Sequence[int], *, last: bool = False) -> Audio:
        sound, self._state = self._decoder.step(self._state, codes, last=last)
        return self._louder(sound)

    def _rest(self) -> list[Audio]:
        streaming, self._streaming = self._streaming, False
        return [self._step((), last=True)] if streaming else []
