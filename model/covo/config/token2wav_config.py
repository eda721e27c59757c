"""The sizes of flow matching and vocoder, read from token2wav's published ``config.json``.

As in :mod:`model.covo.config.network_config`, reading refuses other designs. No torch here.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from math import prod
from pathlib import Path
from typing import Annotated

from msgspec import Meta, Struct

from model.covo.config.network_config import Count, read_config, require
from model.errors import NetworkConfigError, NetworkInputError

# Constants of the published flow-matching network and vocoder, not keys of its config.
TIME_FEATURES = 256
EMBED_KERNEL = 31
EMBED_GROUPS = 16
VOCODER_KERNEL = 7
"""Kernel of the vocoder's first and last convolution."""

Counts = Annotated[tuple[Count, ...], Meta(min_length=1)]


@dataclass(frozen=True, slots=True)
class FlowConfig:
    """The flow-matching network from speech codes to latents; ``upsample`` latents per code."""

    codebook: int
    code_width: int
    upsample: int
    latent: int
    speaker: int
    hidden: int
    layers: int
    heads: int
    ffn: int

    def check_codes(self, codes: Iterable[int]) -> None:
        """Check that every code is in the codebook. Raises: NetworkInputError."""
        for code in codes:
            if not 0 <= code < self.codebook:
                raise NetworkInputError(
                    f"speech code {code} is outside the codebook of {self.codebook}"
                )


@dataclass(frozen=True, slots=True)
class BigVganConfig:
    """The vocoder from latents to a wave."""

    latent: int
    initial_channels: int
    upsample_rates: tuple[int, ...]
    block_kernels: tuple[int, ...]
    block_dilations: tuple[tuple[int, ...], ...]

    @property
    def hop(self) -> int:
        """Return the samples per latent."""
        return prod(self.upsample_rates)

    def channels(self, stage: int) -> int:
        """Return the channels after upsampling stage ``stage``, counted from 0."""
        return self.initial_channels >> (stage + 1)


@dataclass(frozen=True, slots=True)
class SamplingConfig:
    """How the flow is solved: ``points`` in time, both ends included; guidance ``alpha`` (None: a
    conditional pass only); ``rescale``: keep the conditional vector's standard deviation."""

    points: int = 10
    alpha: float | None = 1.0
    rescale: bool = False

    def __post_init__(self) -> None:
        if self.points < 2:
            raise NetworkConfigError(
                f"flow matching needs at least 2 time points, not {self.points}"
            )


@dataclass(frozen=True, slots=True)
class Token2WavConfig:
    """From speech codes to a wave at ``rate`` Hz."""

    flow: FlowConfig
    vocoder: BigVganConfig
    sampling: SamplingConfig
    rate: int

    @property
    def codes_per_second(self) -> float:
        """Return the speech codes per second, 25 in the published network."""
        return self.rate / (self.flow.upsample * self.vocoder.hop)

    @classmethod
    def read(cls, path: Path) -> Token2WavConfig:
        """Read token2wav's ``config.json``. Raises: NetworkConfigError."""
        file = read_config(path, _Token2WavFile)
        solver = file.inference
        return cls(
            file.model.token2latent.config(),
            file.model.wavegan.config(),
            SamplingConfig(solver.s_steps, solver.cfg_alpha, solver.rescale_logits),
            file.data.audio.sample_rate,
        )


class _TransformerFile(Struct):
    hidden_size: Count
    num_layers: Count
    num_heads: Count
    ffn_hidden_size: Count
    modulation: bool = True
    rotary_bias: bool = True
    alibi_bias: bool = False
    qk_norm: bool = False

    def __post_init__(self) -> None:
        require(self, modulation=True, rotary_bias=True, alibi_bias=False, qk_norm=False)


class _FlowFile(Struct):
    transformer: _TransformerFile
    token_vocab_size: Count
    token_input_dim: Count
    upsample_factor: Count
    z_dim: Count
    spkr_embed_dim: Count

    def config(self) -> FlowConfig:
        return FlowConfig(
            codebook=self.token_vocab_size,
            code_width=self.token_input_dim,
            upsample=self.upsample_factor,
            latent=self.z_dim,
            speaker=self.spkr_embed_dim,
            hidden=self.transformer.hidden_size,
            layers=self.transformer.num_layers,
            heads=self.transformer.num_heads,
            ffn=self.transformer.ffn_hidden_size,
        )


class _VocoderFile(Struct):
    latent_dim: Count
    upsample_initial_channel: Count
    upsample_rates: Counts
    upsample_kernel_sizes: tuple[Count, ...]
    resblock_kernel_sizes: Counts
    resblock_dilation_sizes: tuple[Counts, ...]
    type: str = "BigVGANFlowVAE"
    activation: str = "snakebeta"
    snake_logscale: bool = True
    resblock: str = "1"
    causal: bool = True

    def __post_init__(self) -> None:
        require(self, type="BigVGANFlowVAE", activation="snakebeta", snake_logscale=True)
        require(self, resblock="1", causal=True)
        if self.upsample_kernel_sizes != tuple(2 * rate for rate in self.upsample_rates):
            raise ValueError("upsample_kernel_sizes must be twice upsample_rates")
        if len(self.resblock_kernel_sizes) != len(self.resblock_dilation_sizes):
            raise ValueError("resblock_kernel_sizes and resblock_dilation_sizes must pair up")
        if not self.config().channels(len(self.upsample_rates) - 1):
            raise ValueError(
                f"upsample_initial_channel {self.upsample_initial_channel} cannot be halved "
                f"{len(self.upsample_rates)} times"
            )

    def config(self) -> BigVganConfig:
        return BigVganConfig(
            latent=self.latent_dim,
            initial_channels=self.upsample_initial_channel,
            upsample_rates=self.upsample_rates,
            block_kernels=self.resblock_kernel_sizes,
            block_dilations=self.resblock_dilation_sizes,
        )


class _ModelFile(Struct):
    token2latent: _FlowFile
    wavegan: _VocoderFile
    type: str = "Token2WavDecoder"

    def __post_init__(self) -> None:
        require(self, type="Token2WavDecoder")
        if self.token2latent.z_dim != self.wavegan.latent_dim:
            raise ValueError(
                f"z_dim is {self.token2latent.z_dim}, but wavegan.latent_dim is "
                f"{self.wavegan.latent_dim}"
            )


class _InferenceFile(Struct):
    s_steps: Count
    cfg_alpha: float | None = None
    rescale_logits: bool = False


class _AudioFile(Struct):
    sample_rate: Count


class _DataFile(Struct):
    audio: _AudioFile


class _Token2WavFile(Struct):
    model: _ModelFile
    inference: _InferenceFile
    data: _DataFile
