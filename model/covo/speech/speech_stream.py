"""A reply's speech codes to its wave, while they come.

The vocoder streams exactly; flow matching cannot, because every latent attends to every other. It
streams by continuation, the way the network was trained: what is already spoken is given as if it
were the prompt's end, and only the new codes' latents are kept
(:mod:`model.covo.speech.chunk_schedule`). N codes give exactly :meth:`Token2Wav.samples` samples
for any schedule; a reply in one chunk is :meth:`Token2Wav.synthesize`. Chunks and noise do not
depend on how codes were grouped when they came, so the same seed and schedule give the same wave.

How far a stream is from one shot, with the tiny random weights of the tests: latents differ by
0.28 of their deviation in chunks of 5 codes without look-ahead, by 0.19 with 3 codes of it, by 0.11
with the default schedule. For 10 s of the published network that schedule needs 163 TFLOP instead
of 34, mostly for the voice prompt. More in docs/streaming.md.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace

import torch
from torch import Tensor

from model.covo.config.config import SamplingConfig
from model.covo.speech.bigvgan import LOOK_AHEAD
from model.covo.speech.chunk_schedule import Chunk, ChunkSchedule
from model.covo.speech.stream import VocoderStream
from model.covo.speech.token2wav import Token2Wav, VoicePrompt, draw_noise
from model.errors import NetworkInputError


@dataclass(frozen=True, slots=True)
class SpeechSettings:
    """``schedule``: what is synthesised when; ``sampling``: how the flow is solved (None: as the
    checkpoint says); ``vocoder_look_ahead``: latents that the vocoder waits for."""

    schedule: ChunkSchedule = field(default_factory=ChunkSchedule)
    sampling: SamplingConfig | None = None
    vocoder_look_ahead: int = LOOK_AHEAD


@dataclass(frozen=True, slots=True)
class SpeechStream:
    """Where a reply's speech is. Nothing in it is ever written to: keeping one is enough to go
    back to it, dropping one throws the reply away.

    ``codes``: those still needed, from code ``first`` of the reply on, and ``noise`` (4 * codes,
    latent) theirs; ``history`` (4 * window, latent): normalised latents of the first of them, the
    ``spoken`` ones. ``prompt_noise`` (4 * p, latent) belongs to the voice. ``generator`` is behind
    the noise of the last code.
    """

    settings: SpeechSettings
    voice: VoicePrompt
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
        """Codes so far."""
        return self.first + len(self.codes)


class SpeechStreamer:
    """Makes speech of codes with ``token2wav``. It has no state of its own."""

    def __init__(self, token2wav: Token2Wav) -> None:
        self.token2wav = token2wav

    @torch.inference_mode()
    def start(
        self, voice: VoicePrompt, settings: SpeechSettings | None = None, *, seed: int = 0
    ) -> SpeechStream:
        """The state before a reply's first code. Raises: NetworkInputError for a voice of another
        size."""
        network, flow = self.token2wav, self.token2wav.config.flow
        voice.check(flow)
        generator = torch.Generator().manual_seed(seed)
        latents = voice.latents.to(network.device, torch.float32)
        speaker = voice.speaker.to(network.device)
        return SpeechStream(
            settings=settings or SpeechSettings(),
            voice=VoicePrompt(voice.codes.cpu(), latents, speaker),
            prompt_noise=draw_noise(generator, len(voice.codes), flow),
            generator=generator,
            noise=draw_noise(generator, 0, flow),
            history=latents[:0],
            vocoder=network.wavegan.start(),
        )

    @torch.inference_mode()
    def step(
        self, stream: SpeechStream, codes: Sequence[int], *, last: bool = False
    ) -> tuple[Tensor, SpeechStream]:
        """The samples that ``codes`` make known, shape (samples,), float32 at ``config.rate`` on
        the network's device, and the state behind them; ``stream`` stays as it was. Often none:
        the schedule waits until a chunk is whole. ``last``: everything that is left is given. All
        of it comes when the last chunk is made, so codes that are waiting in a queue are best given
        a few at a time.

        Raises: NetworkInputError when the stream has ended, or for a code outside of the codebook.
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
            finished = last and stream.spoken == stream.received
            piece, stream = self._vocode(stream, latents, last=finished)
            pieces.append(piece)
        if last and not stream.vocoder.ended:
            piece, stream = self._vocode(stream, stream.history[:0], last=True)
            pieces.append(piece)
        return torch.cat(pieces) if pieces else stream.history.new_zeros(0), stream

    def _receive(self, stream: SpeechStream, codes: Sequence[int]) -> SpeechStream:
        flow = self.token2wav.config.flow
        flow.check_codes(codes)
        # The stream's own generator stays as it is, so that the stream can be gone back to.
        generator = stream.generator.clone_state()
        drawn = draw_noise(generator, len(codes), flow)
        return replace(
            stream,
            codes=(*stream.codes, *codes),
            noise=torch.cat((stream.noise, drawn)),
            generator=generator,
        )

    def _continue(self, stream: SpeechStream, chunk: Chunk) -> tuple[Tensor, SpeechStream]:
        """The chunk's latents (time, latent), normalised, and the state behind it."""
        network, rate = self.token2wav, self.token2wav.config.flow.upsample
        voice = stream.voice
        seen = stream.codes[: chunk.ahead - stream.first]
        # A prompt may reach into the code behind it (3 latents in the published voice). Where the
        # window has moved on, that is another code, whose own first latents step back.
        before = rate * len(voice.codes)
        lead = max(0, len(voice.latents) - before)
        known = torch.cat((voice.latents, stream.history[lead:]))
        both = torch.cat((voice.codes, torch.tensor(seen)))
        given = network.token2latent.condition(both, known, voice.speaker)
        noise = torch.cat((stream.prompt_noise, stream.noise[: rate * len(seen)]))
        sampling = stream.settings.sampling or network.config.sampling
        made = network.token2latent.solve(noise[None].to(network.device), given, sampling)[0]
        end = before + rate * (chunk.end - stream.first)
        whole = torch.cat((known, made[len(known) : end]))
        if len(voice.latents) < before:
            # The first chunk has made the rest of a prompt that is shorter than its codes.
            voice = replace(voice, latents=whole[:before].clone())
        kept = max(0, chunk.end - stream.settings.schedule.window)
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
        wave, vocoder = self.token2wav.wavegan.step(
            stream.vocoder,
            self.token2wav.denormalise(latents[None]),
            last=last,
            look_ahead=stream.settings.vocoder_look_ahead,
        )
        return wave[0], replace(stream, vocoder=vocoder)
