"""From speech codes to a wave: flow matching, the latents' own scale, and the vocoder.

25 codes, 100 latents and 24,000 samples per second. A voice prompt has p codes and, in the
published voice, 4p + 3 latents; a reply of n codes then gives 4n - 3 latents, so the first 30 ms
of its first code are the prompt's. The vocoder starts cold where the prompt ends.

Different from the published code: no codes give an empty wave (there: a crash), a code outside of
the codebook is an error that says so (there the check lets one through), the start noise is passed
in or seeded (there it comes from the device's global generator), and nothing is read from disk for
a reply.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from model.covo.bigvgan import BigVgan
from model.covo.config import FlowConfig, SamplingConfig, Token2WavConfig
from model.covo.flow import Conditioning, VectorField
from model.errors import NetworkInputError


@dataclass(frozen=True, slots=True)
class VoicePrompt:
    """A voice: ``codes`` (p,) int64, ``latents`` (m, latent) normalised float32, with m at most
    ``4 * p + 3``, and ``speaker`` (speaker,) float32."""

    codes: Tensor
    latents: Tensor
    speaker: Tensor

    def check(self, config: FlowConfig) -> None:
        """Raises: NetworkInputError when the voice is one for a network of another size."""
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
                f"{tuple(self.speaker.shape)}; wanted (n,), (up to 4n + 3, {config.latent}) and "
                f"({config.speaker},)"
            )
        if not all(bool(t.isfinite().all()) for t in (self.latents, self.speaker)):
            raise NetworkInputError("the voice has values that are not numbers")


class Token2Wav(nn.Module):
    """Both networks; parameters have the published names.

    ``mean`` and ``variance`` (latent,) are the latents' statistics, kept in float32.
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
        """Where the networks are; what they are given is moved there."""
        return self.wavegan.conv_pre.weight.device

    def samples(self, codes: int, voice: VoicePrompt) -> int:
        """How many samples a reply of ``codes`` codes has in ``voice``."""
        if not codes:
            return 0
        flow, hop = self.config.flow, self.config.vocoder.hop
        return (flow.upsample * (len(voice.codes) + codes) - len(voice.latents)) * hop

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
        """The wave of ``codes`` (n,), shape (samples,), float32 at ``config.rate``.

        Raises: NetworkInputError for a code outside of the codebook, or a voice of another size.
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
        """Normalised latents of prompt and reply as the flow gives them, (1, T, latent), with
        T = 4 * (p + n). ``noise``: of that shape; without it, drawn from ``seed`` (on the CPU, so
        that one seed is one wave on every device). Raises: NetworkInputError.
        """
        given = self.condition(codes, voice)
        shape = given.latents.shape
        if noise is None:
            noise = torch.randn(shape, generator=torch.Generator().manual_seed(seed))
        elif noise.shape != shape:
            raise NetworkInputError(
                f"the noise has the shape {tuple(noise.shape)} instead of {tuple(shape)}"
            )
        settings = sampling or self.config.sampling
        states = self.token2latent.sample(noise.to(self.device), given, settings)
        return deque(states, maxlen=1)[0]

    @torch.inference_mode()
    def condition(self, codes: Tensor, voice: VoicePrompt) -> Conditioning:
        """What the flow is given for ``codes`` behind ``voice``. Raises: NetworkInputError."""
        voice.check(self.config.flow)
        both = torch.cat((voice.codes.to(self.device), codes.to(self.device)))
        return self.token2latent.condition(both, voice.latents, voice.speaker)

    def vocoder_input(self, latents: Tensor, voice: VoicePrompt) -> Tensor:
        """The reply's part of normalised ``latents`` (1, T, latent), at the vocoder's scale:
        (1, latent, T - m), float32."""
        reply = latents[:, len(voice.latents) :].float()
        mean, deviation = self.mean.to(reply.device), self.deviation.to(reply.device)
        return (mean + reply * deviation).transpose(1, 2)
