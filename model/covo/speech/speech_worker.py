"""Speech beside decoding: a streamer on a thread and, on CUDA, a stream of its own.

Everything of a reply's speech happens on the one stream, so its state needs no waiting; only what
crosses over does: weights and voice on the way in, the wave on the way out, which goes to pinned
memory while the caller does something else.

The thread outlives replies, because torch keeps cuDNN's plans by thread: each of a chunk's several
hundred convolutions has a shape of its own, and a new thread would plan them all again.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import nullcontext
from dataclasses import dataclass, field
from typing import TypeVar

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from model.covo.speech.speech_stream import SpeechSettings, SpeechStream, SpeechStreamer
from model.covo.speech.token2wav import VoicePrompt

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class WavePiece:
    """Samples on their way to the host. ``len`` of it is known at once."""

    _wave: Tensor = field(repr=False)
    _arrival: torch.cuda.Event | None = None

    def __len__(self) -> int:
        return len(self._wave)

    def samples(self) -> NDArray[np.float32]:
        """Float32, shape (samples,); waits for them. The array is the caller's own."""
        if self._arrival is not None:
            self._arrival.synchronize()
        # A copy, so that the pinned memory goes back to where the next piece takes it from.
        wave: NDArray[np.float32] = self._wave.numpy().copy()
        return wave


class SpeechWorker:
    """Calls ``streamer``, always on the same thread and CUDA stream. For one caller at a time, and
    the only user of its Token2Wav from then on."""

    def __init__(self, streamer: SpeechStreamer) -> None:
        self._streamer = streamer
        device = streamer.token2wav.device
        self._stream = torch.cuda.Stream(device) if device.type == "cuda" else None
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="covo-speech")
        self._wait_for_caller()

    def start(
        self, voice: VoicePrompt, settings: SpeechSettings | None = None, *, seed: int = 0
    ) -> SpeechStream:
        """See :meth:`SpeechStreamer.start`."""
        self._wait_for_caller(voice.codes, voice.latents, voice.speaker)
        return self._run(lambda: self._streamer.start(voice, settings, seed=seed))

    def step(
        self, stream: SpeechStream, codes: Sequence[int], *, last: bool = False
    ) -> tuple[WavePiece, SpeechStream]:
        """See :meth:`SpeechStreamer.step`; ``stream`` is one of this worker's. On CUDA the wave is
        still being computed when this returns."""

        def work() -> tuple[WavePiece, SpeechStream]:
            wave, after = self._streamer.step(stream, codes, last=last)
            return self._send(wave), after

        return self._run(work)

    def _send(self, wave: Tensor) -> WavePiece:
        if self._stream is None or not len(wave):
            return WavePiece(wave.cpu())
        host = torch.empty(wave.shape, dtype=wave.dtype, pin_memory=True)
        host.copy_(wave, non_blocking=True)
        arrival = torch.cuda.Event()
        arrival.record()
        return WavePiece(host, arrival)

    def _run(self, work: Callable[[], T]) -> T:
        def on_our_stream() -> T:
            with nullcontext() if self._stream is None else torch.cuda.stream(self._stream):
                return work()

        return self._thread.submit(on_our_stream).result()

    def _wait_for_caller(self, *tensors: Tensor) -> None:
        """What the caller's stream has begun, our stream waits for; ``tensors`` of the caller's
        are not written over, once he has let go of them, before our stream has read them."""
        if self._stream is None:
            return
        self._stream.wait_stream(torch.cuda.current_stream(self._stream.device))
        for tensor in tensors:
            if tensor.is_cuda:
                tensor.record_stream(self._stream)
