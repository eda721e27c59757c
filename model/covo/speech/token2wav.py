"""Synthesise a wave from speech codes: flow matching, rescaled latents, and the vocoder.

25 codes, 100 latents and 24,000 samples per second. A voice prompt has p codes and, in the
published voice, 4p + 3 latents; a reply of n codes then has 4n - 3 latents, because the first 30 ms
of its first code are the prompt's. The vocoder starts cold where the prompt ends.

Unlike the published code: no codes give an empty wave (there, a crash), every code outside the
codebook is refused (there, one passes the check), the start noise is passed in or seeded (there, it
comes from the device's global generator), and a reply reads nothing from disk.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from math import isfinite

import torch
from torch import Tensor, nn

from model.covo.config.token2wav_config import FlowConfig, SamplingConfig, Token2WavConfig
from model.covo.speech.bigvgan import BigVgan
from model.covo.speech.flow import Conditioning, VectorField
from model.errors import NetworkInputError
from voices.covo_prompt import CovoPrompt


@dataclass(frozen=True, slots=True)
class VoicePrompt:
    """A voice: ``codes`` (p,) int64, ``latents`` (m, latent) normalised float32 with m at most
    ``4 * p + 3``, and ``speaker`` (speaker,) float32."""

    codes: Tensor
    latents: Tensor
    speaker: Tensor

    @classmethod
    def of(cls, arrays: CovoPrompt, config: FlowConfig) -> VoicePrompt:
        """Return the voice in ``arrays``. Raises: NetworkInputError; see :meth:`check`."""
        codes, latents, speaker = arrays.token[0], arrays.latent[0], arrays.embedding[0]
        voice = cls(*(torch.from_numpy(array) for array in (codes, latents, speaker)))
        voice.check(config)
        return voice

    def check(self, config: FlowConfig) -> None:
        """Raises: NetworkInputError when the voice does not fit the network's sizes."""
        most = config.upsample * (len(self.codes) + 1) - 1
        fits = (
            self.codes.ndim == self.speaker.ndim == 1
            and len(self.codes) > 0
            and self.latents.ndim == 2
            and 0 < len(self.latents) <= most
            and self.latents.shape[1] == config.latent
            and len(self.speaker) == config.speaker
        )
        if not fits:
            raise NetworkInputError(
                "the voice does not fit the network: codes, latents and speaker embedding have "
                f"the shapes {tuple(self.codes.shape)}, {tuple(self.latents.shape)} and "
                f"{tuple(self.speaker.shape)}; expected (n,), (up to 4n + 3, {config.latent}) and "
                f"({config.speaker},)"
            )
        config.check_codes(self.codes.tolist())
        if not all(bool(t.isfinite().all()) for t in (self.latents, self.speaker)):
            raise NetworkInputError("the voice has values that are not numbers")

    def crop(self, seconds: float, config: Token2WavConfig) -> VoicePrompt:
        """Return the voice with at most the last ``seconds`` of its prompt: each call of the flow
        is cheaper, but less faithful to the voice.

        The end is kept because a prompt's last 3 latents belong to the reply's first code, and
        because the cut is then as far from the reply as possible. Raises: NetworkInputError when
        less than one code would be left.
        """
        keep = round(seconds * config.codes_per_second) if isfinite(seconds) else 0
        if keep < 1:
            raise NetworkInputError(
                f"a voice prompt of {seconds} s is too short; give at least "
                f"{1 / config.codes_per_second} s"
            )
        dropped = max(0, len(self.codes) - keep)
        latents = self.latents[config.flow.upsample * dropped :]
        return replace(self, codes=self.codes[dropped:], latents=latents)


class Token2Wav(nn.Module):
    """Flow matching and vocoder; parameters have the published names.

    ``mean`` and ``variance`` (latent,): the latents' statistics, kept in float32. They must be on
    the networks' device, or every piece of a wave would wait for a copy.
    """

    def __init__(self, config: Token2WavConfig, mean: Tensor, variance: Tensor) -> None:
        super().__init__()
        self.config = config
        self.token2latent = VectorField(config.flow)
        self.wavegan = BigVgan(config.vocoder)
        self.mean = mean.float()
        self.deviation = variance.float().sqrt()

    @property
    def device(self) -> torch.device:
        """Return the networks' device; their inputs are moved there."""
        return self.wavegan.conv_pre.weight.device

    def samples(self, codes: int, voice: VoicePrompt) -> int:
        """Return the number of samples of a reply of ``codes`` codes in ``voice``."""
        if not codes:
            return 0
        flow, hop = self.config.flow, self.config.vocoder.hop
        return (flow.upsample * (len(voice.codes) + codes) - len(voice.latents)) * hop

    def codes(self, samples: int, voice: VoicePrompt) -> int:
        """Return how many codes of a reply in ``voice`` end within its first ``samples``."""
        if samples <= 0:
            return 0
        latents = samples // self.config.vocoder.hop + len(voice.latents)
        return max(0, latents // self.config.flow.upsample - len(voice.codes))

    @torch.inference_mode()
    def synthesize(
        self,
        codes: Tensor,
        voice: VoicePrompt,
        *,
        noise: Tensor | None = None,
        seed: int = 0,
        sampling: SamplingConfig | None = None,
    ) -> Tensor:
        """Return the wave (samples,) of ``codes`` (n,), float32 at ``config.rate``.

        Raises: NetworkInputError for a code outside the codebook or a voice of another size.
        """
        if not codes.numel():
            return torch.zeros(0, device=self.device)
        latents = self.latents(codes, voice, noise=noise, seed=seed, sampling=sampling)
        wave: Tensor = self.wavegan(self.vocoder_input(latents, voice))
        return wave[0]

    @torch.inference_mode()
    def latents(
        self,
        codes: Tensor,
        voice: VoicePrompt,
        *,
        noise: Tensor | None = None,
        seed: int = 0,
        sampling: SamplingConfig | None = None,
    ) -> Tensor:
        """Return the normalised latents (1, T, latent) of prompt and reply, T = 4 * (p + n).

        ``noise``: of that shape; drawn from ``seed`` unless given, on the CPU, so that a seed gives
        the same wave on every device. Raises: NetworkInputError.
        """
        settings = sampling or self.config.sampling
        given = self.condition(codes, voice)
        shape = given.latents.shape
        if noise is None:
            both = len(voice.codes) + len(codes)
            noise = draw_noise(torch.Generator().manual_seed(seed), both, self.config.flow)[None]
        elif noise.shape != shape:
            raise NetworkInputError(
                f"the noise has the shape {tuple(noise.shape)}, not {tuple(shape)}"
            )
        modulations = self.token2latent.modulations(voice.speaker, settings)
        return self.token2latent.solve(noise.to(self.device), given, modulations, settings)

    @torch.inference_mode()
    def condition(self, codes: Tensor, voice: VoicePrompt) -> Conditioning:
        """Return the flow's input for ``codes`` after ``voice``. Raises: NetworkInputError."""
        voice.check(self.config.flow)
        both = torch.cat((voice.codes.cpu(), codes.cpu()))
        self.config.flow.check_codes(codes.tolist())
        return self.token2latent.condition(both, voice.latents)

    def vocoder_input(self, latents: Tensor, voice: VoicePrompt) -> Tensor:
        """Return the reply's part of normalised ``latents`` (1, T, latent) at the vocoder's scale:
        (1, latent, T - m), float32."""
        return self.denormalise(latents[:, len(voice.latents) :])

    def denormalise(self, latents: Tensor) -> Tensor:
        """Rescale normalised latents (1, time, latent) for the vocoder: (1, latent, time),
        float32."""
        return (self.mean + latents.float() * self.deviation).transpose(1, 2)


def draw_noise(generator: torch.Generator, codes: int, config: FlowConfig) -> Tensor:
    """Draw the flow's start noise (4 * codes, latent) for the next ``codes`` codes, code by code,
    so that a code's noise does not depend on how many are drawn together."""
    noise = torch.empty(codes, config.upsample, config.latent)
    for of_a_code in noise:
        of_a_code.normal_(generator=generator)
    return noise.flatten(0, 1)
