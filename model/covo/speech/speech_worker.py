"""Synthesise speech beside decoding, on a separate thread and, on CUDA, a separate stream.

All of a reply's speech happens on that one stream, so its state needs no synchronisation. Only
weights and voice on the way in, and the wave on the way out, cross over.

The thread outlives replies, because torch keeps cuDNN's plans per thread: each of a chunk's several
hundred convolutions has a shape of its own, and a new thread would plan them all again. On CUDA it
also captures each kind of chunk as a graph (:mod:`model.covo.speech.chunk_graphs`).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import nullcontext
from typing import TypeVar

import torch
from torch import Tensor

from audio_io.signal import Audio
from model.covo.speech.chunk_graphs import ChunkGraphs
from model.covo.speech.speech_stream import SpeechSettings, SpeechStream, SpeechStreamer, Watch
from model.covo.speech.token2wav import Token2Wav, VoicePrompt
from model.jobs.lane import Lane

T = TypeVar("T")


class SpeechWorker:
    """Calls ``streamer``, always on the same thread and CUDA stream.

    Any thread may call it; calls are made one after the other. Nothing else may use its Token2Wav.
    ``settings``: the default for replies; ``graph``: use CUDA graphs.
    """

    def __init__(
        self,
        streamer: SpeechStreamer,
        settings: SpeechSettings | None = None,
        *,
        graph: bool = True,
    ) -> None:
        self._streamer = streamer
        self._settings = settings or SpeechSettings()
        self._stream, self._captures = None, False
        device = streamer.token2wav.device
        if device.type == "cuda":
            self._stream, self._captures = torch.cuda.Stream(device), graph
            if graph:
                self._streamer = SpeechStreamer(streamer.token2wav, ChunkGraphs(device))
        self._lane = Lane("token2wav")
        self._wait_for_caller()

    @property
    def token2wav(self) -> Token2Wav:
        """Return the networks that speak."""
        return self._streamer.token2wav

    def start(
        self, voice: VoicePrompt, settings: SpeechSettings | None = None, *, seed: int = 0
    ) -> SpeechStream:
        """See :meth:`SpeechStreamer.start`."""
        self._wait_for_caller(voice.codes, voice.latents, voice.speaker)
        return self._run(lambda: self._streamer.start(voice, settings or self._settings, seed=seed))

    def step(
        self,
        stream: SpeechStream,
        codes: Sequence[int],
        *,
        last: bool = False,
        watch: Watch = lambda part: None,
    ) -> tuple[Audio, SpeechStream]:
        """See :meth:`SpeechStreamer.step`; the samples are on the host."""

        def work() -> tuple[Audio, SpeechStream]:
            wave, after = self._streamer.step(stream, codes, last=last, watch=watch)
            return wave.cpu().numpy(), after

        return self._run(work)

    def speak(
        self, groups: Iterable[Sequence[int]], voice: VoicePrompt, *, seed: int = 0
    ) -> Iterator[tuple[Audio, int]]:
        """Yield the sound of all ``groups`` of codes as soon as the chunk schedule allows, each
        piece with the number of codes that are spoken by its end. Raises: NetworkInputError."""
        stream = self.start(voice, seed=seed)
        for group in groups:
            piece, stream = self.step(stream, group)
            if len(piece):
                yield piece, stream.spoken
        piece, stream = self.step(stream, (), last=True)
        if len(piece):
            yield piece, stream.spoken

    def warm_up(self, voice: VoicePrompt) -> None:
        """Speak enough to make a chunk of every size, and discard it; on CUDA, of every kind, and
        where chunks are captured, once more to capture them."""
        schedule = self._settings.schedule
        replies = [sum(schedule.sizes) + schedule.look_ahead]
        if self._stream is not None:
            replies = (2 if self._captures else 1) * list(schedule.rehearsals())
        for codes in replies:
            for _ in self.speak([(0,)] * codes, voice):
                pass

    def _run(self, work: Callable[[], T]) -> T:
        def on_stream() -> T:
            with nullcontext() if self._stream is None else torch.cuda.stream(self._stream):
                return work()

        return self._lane.run(on_stream)

    def _wait_for_caller(self, *tensors: Tensor) -> None:
        """Let our stream wait for the caller's, and keep the caller's ``tensors`` from being
        overwritten before our stream has read them."""
        if self._stream is None:
            return
        self._stream.wait_stream(torch.cuda.current_stream(self._stream.device))
        for tensor in tensors:
            if tensor.is_cuda:
                tensor.record_stream(self._stream)
