"""Stream a reply's wave while its speech codes arrive.

The vocoder streams exactly; flow matching cannot, because every latent attends to every other. It
streams by continuation, as the network was trained: spoken latents extend the prompt, and only the
new codes' latents are kept (:mod:`model.covo.speech.chunk_schedule`). N codes give exactly
:meth:`Token2Wav.samples` samples under any schedule; a reply in one chunk equals
:meth:`Token2Wav.synthesize`. Neither chunks nor noise depend on how codes were grouped on arrival,
so a seed and a schedule determine the wave.

Cost and distance to one-shot synthesis: docs/streaming.md.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from math import ceil

import torch
from torch import Tensor

from model.covo.config.token2wav_config import SamplingConfig
from model.covo.speech.bigvgan import LOOK_AHEAD
from model.covo.speech.chunk_graphs import ChunkGraphs, run_directly
from model.covo.speech.chunk_schedule import Chunk, ChunkSchedule
from model.covo.speech.token2wav import Token2Wav, VoicePrompt, draw_noise
from model.covo.speech.vocoder_stream import VocoderStream
from model.errors import NetworkInputError

FLOW, VOCODER = "flow", "vocoder"
Watch = Callable[[str], None]


@dataclass(frozen=True, slots=True)
class SpeechSettings:
    """``schedule``: which codes become a chunk; ``sampling``: how the flow is solved (None: as the
    checkpoint says); ``vocoder_look_ahead``: latents that the vocoder waits for."""

    schedule: ChunkSchedule = field(default_factory=ChunkSchedule)
    sampling: SamplingConfig | None = None
    vocoder_look_ahead: int = LOOK_AHEAD


@dataclass(frozen=True, slots=True)
class SpeechStream:
    """State of a reply's speech. Immutable: keep one to go back, drop it to abandon the reply.

    ``codes``: those still needed, from code ``first`` of the reply on; ``noise`` (4 * codes,
    latent): theirs; ``history`` (4 * window, latent): the normalised latents of those already
    ``spoken``; ``prompt_noise`` (4 * p, latent): the voice's; ``modulations``: the flow's, for the
    voice's speaker; ``generator``: in its state after the last code's noise. Tensors are on the
    network's device.
    """

    settings: SpeechSettings
    voice: VoicePrompt
    modulations: Tensor = field(repr=False)
    prompt_noise: Tensor = field(repr=False)
    generator: torch.Generator = field(repr=False)
    noise: Tensor = field(repr=False)
    history: Tensor = field(repr=False)
    vocoder: VocoderStream
    codes: tuple[int, ...] = ()
    first: int = 0
    spoken: int = 0
    chunks: int = 0

    @property
    def received(self) -> int:
        """Return the number of codes so far."""
        return self.first + len(self.codes)


class SpeechStreamer:
    """Speaks codes with ``token2wav``. Stateless, but for the graphs that it may be given to run
    chunks with."""

    def __init__(self, token2wav: Token2Wav, graphs: ChunkGraphs | None = None) -> None:
        self.token2wav = token2wav
        self._run, self._captures = graphs or run_directly, graphs is not None

    @torch.inference_mode()
    def start(
        self, voice: VoicePrompt, settings: SpeechSettings | None = None, *, seed: int = 0
    ) -> SpeechStream:
        """Return the state before the first code. Raises: NetworkInputError for a voice of wrong
        size."""
        network, flow = self.token2wav, self.token2wav.config.flow
        voice.check(flow)
        settings = settings or SpeechSettings()
        sampling = settings.sampling or network.config.sampling
        generator = torch.Generator().manual_seed(seed)
        latents = self._send(voice.latents.float())
        speaker = self._send(voice.speaker)
        return SpeechStream(
            settings=settings,
            voice=VoicePrompt(self._send(voice.codes), latents, speaker),
            modulations=network.token2latent.modulations(speaker, sampling),
            prompt_noise=self._send(draw_noise(generator, len(voice.codes), flow)),
            generator=generator,
            noise=latents[:0],
            history=latents[:0],
            vocoder=network.wavegan.start(),
        )

    @torch.inference_mode()
    def step(
        self,
        stream: SpeechStream,
        codes: Sequence[int],
        *,
        last: bool = False,
        watch: Watch = lambda part: None,
    ) -> tuple[Tensor, SpeechStream]:
        """Return the samples that ``codes`` complete, (samples,) float32 at ``config.rate`` on the
        network's device, and the next state.

        Often there are none, until a chunk is complete; ``last`` returns all that is left. Pass
        queued codes a few at a time, because one call returns all its chunks together. ``watch`` is
        called with FLOW and with VOCODER when these have been queued to the device for a chunk.

        Raises: NetworkInputError when the stream has ended, or for a code outside the codebook.
        """
        if stream.vocoder.ended:
            raise NetworkInputError("this reply's speech has ended; start another stream")
        stream = self._receive(stream, codes)
        schedule = stream.settings.schedule
        pieces = []
        while chunk := schedule.next_chunk(
            stream.chunks, stream.spoken, stream.received, last=last
        ):
            latents, stream = self._continue(stream, chunk)
            watch(FLOW)
            finished = last and stream.spoken == stream.received
            piece, stream = self._vocode(stream, latents, last=finished)
            watch(VOCODER)
            pieces.append(piece)
        if last and not stream.vocoder.ended:
            piece, stream = self._vocode(stream, stream.history[:0], last=True)
            pieces.append(piece)
        return torch.cat(pieces) if pieces else stream.history.new_zeros(0), stream

    def _receive(self, stream: SpeechStream, codes: Sequence[int]) -> SpeechStream:
        flow = self.token2wav.config.flow
        flow.check_codes(codes)
        # Drawing from a copy keeps the stream's own generator as it is.
        generator = stream.generator.clone_state()
        drawn = self._send(draw_noise(generator, len(codes), flow))
        return replace(
            stream,
            codes=(*stream.codes, *codes),
            noise=torch.cat((stream.noise, drawn)),
            generator=generator,
        )

    def _continue(self, stream: SpeechStream, chunk: Chunk) -> tuple[Tensor, SpeechStream]:
        """Return the chunk's normalised latents (time, latent) and the next state."""
        flow, rate = self.token2wav.token2latent, self.token2wav.config.flow.upsample
        voice, schedule = stream.voice, stream.settings.schedule
        sampling = stream.settings.sampling or self.token2wav.config.sampling
        seen = stream.codes[: chunk.ahead - stream.first]
        # A prompt may reach into the first code after it (3 latents in the published voice). Once
        # the window has moved on, it covers the first latents of the window's first code.
        before = rate * len(voice.codes)
        lead = max(0, len(voice.latents) - before)
        known = torch.cat((voice.latents, stream.history[lead:]))
        both = torch.cat((voice.codes, self._send(torch.tensor(seen))))
        noise = torch.cat((stream.prompt_noise, stream.noise[: rate * len(seen)]))

        def solve(
            codes: Tensor, known: Tensor, noise: Tensor, modulations: Tensor
        ) -> tuple[Tensor, ...]:
            given = flow.condition(codes, known, recurs=recurs)
            return (flow.solve(noise[None], given, modulations, sampling)[0],)

        # Nothing is captured for the last chunk of a reply, which may have any size.
        recurs = self._captures and schedule.is_regular(stream.chunks, chunk)
        run = self._run if recurs else run_directly
        (made,) = run(("flow", sampling), solve, both, known, noise, stream.modulations)
        end = before + rate * (chunk.end - stream.first)
        whole = torch.cat((known, made[len(known) : end]))
        if len(voice.latents) < before:
            # The first chunk has completed a prompt with fewer latents than its codes have.
            voice = replace(voice, latents=whole[:before].clone())
        kept = max(0, chunk.end - schedule.window)
        dropped = kept - stream.first
        return whole[len(known) :], replace(
            stream,
            voice=voice,
            history=whole[before + rate * dropped :].clone(),
            codes=stream.codes[dropped:],
            noise=stream.noise[rate * dropped :].clone(),
            first=kept,
            spoken=chunk.end,
            chunks=stream.chunks + 1,
        )

    def _vocode(
        self, stream: SpeechStream, latents: Tensor, *, last: bool
    ) -> tuple[Tensor, SpeechStream]:
        vocoder, rate = self.token2wav.wavegan, self.token2wav.config.flow.upsample
        # Where chunks are captured, a last one of any size would be slow: it needs new graphs and
        # new plans for its convolutions.
        codes = stream.settings.schedule.padded(ceil(len(latents) / rate))

        def run(
            latents: Tensor, tails: Tensor, missing: Tensor | None, before: int
        ) -> tuple[Tensor, Tensor]:
            def chunk(
                latents: Tensor, tails: Tensor, missing: Tensor | None = None
            ) -> tuple[Tensor, ...]:
                return vocoder.chunk(latents, tails, missing, before)

            padding = () if missing is None else (missing,)
            wave, kept = self._run(("vocoder", before), chunk, latents, tails, *padding)
            return wave, kept

        wave, state = vocoder.step(
            stream.vocoder,
            self.token2wav.denormalise(latents[None]),
            last=last,
            look_ahead=stream.settings.vocoder_look_ahead,
            length=rate * codes if self._captures else None,
            run=run,
        )
        return wave[0], replace(stream, vocoder=state)

    def _send(self, tensor: Tensor) -> Tensor:
        """Return ``tensor`` on the network's device. The host does not wait for the copy."""
        device = self.token2wav.device
        if device.type != "cuda" or tensor.is_cuda:
            return tensor.to(device)
        return tensor.pin_memory().to(device, non_blocking=True)
