"""Networks of named sizes, for plans and measurements without weights.

``full`` is the published Covo-Audio-Chat, ``tiny`` has the sizes of the tests' golden networks, and
``mid`` still runs within seconds on a laptop's processor.
"""

from __future__ import annotations

from dataclasses import dataclass

from model.covo.config.network_config import BackboneConfig, CovoConfig, EncoderConfig
from model.covo.config.token2wav_config import (
    BigVganConfig,
    FlowConfig,
    SamplingConfig,
    Token2WavConfig,
)
from model.errors import NetworkConfigError

_RATES = (5, 3, 2, 2, 2, 2)
_DILATIONS = ((1, 3, 5), (1, 3, 5), (1, 3, 5))


@dataclass(frozen=True, slots=True)
class NetworkSize:
    """The sizes of both sides of the network and of a voice, which has ``voice_codes`` codes and
    ``4 * voice_codes + 3`` latents."""

    name: str
    covo: CovoConfig
    token2wav: Token2WavConfig
    voice_codes: int


def network_size(name: str) -> NetworkSize:
    """Return the size called ``name``. Raises: NetworkConfigError."""
    for size in SIZES:
        if size.name == name:
            return size
    known = ", ".join(size.name for size in SIZES)
    raise NetworkConfigError(f"no network size {name!r}; there are: {known}")


def _vocoder(latent: int, channels: int) -> BigVganConfig:
    return BigVganConfig(latent, channels, _RATES, (3, 7, 11), _DILATIONS)


FULL = NetworkSize(
    "full",
    CovoConfig(
        BackboneConfig(
            vocabulary=168_055,
            hidden=3584,
            layers=28,
            heads=28,
            kv_heads=4,
            ffn=18_944,
            max_positions=131_072,
            norm_eps=1e-6,
            rope_theta=1e6,
            dtype="bfloat16",
        ),
        EncoderConfig(1280, 32, 20, 5120, mels=128, positions=1500, scale_embedding=False),
        adapter_stages=3,
        adapter_inner=2048,
        first_audio_token=151_671,
    ),
    Token2WavConfig(
        FlowConfig(
            codebook=16_384,
            code_width=512,
            upsample=4,
            latent=64,
            speaker=1024,
            hidden=1024,
            layers=12,
            heads=16,
            ffn=4096,
        ),
        _vocoder(64, 1536),
        SamplingConfig(),
        24_000,
    ),
    voice_codes=291,
)

MID = NetworkSize(
    "mid",
    CovoConfig(
        BackboneConfig(
            vocabulary=10_000 + 4096,
            hidden=512,
            layers=8,
            heads=8,
            kv_heads=2,
            ffn=2048,
            max_positions=32_768,
            norm_eps=1e-6,
            rope_theta=1e6,
            dtype="bfloat16",
        ),
        EncoderConfig(384, 4, 6, 1536, mels=128, positions=1500, scale_embedding=False),
        adapter_stages=3,
        adapter_inner=2048,
        first_audio_token=10_000,
    ),
    Token2WavConfig(
        FlowConfig(
            codebook=4096,
            code_width=128,
            upsample=4,
            latent=64,
            speaker=256,
            hidden=256,
            layers=6,
            heads=4,
            ffn=1024,
        ),
        _vocoder(64, 256),
        SamplingConfig(),
        24_000,
    ),
    voice_codes=100,
)

TINY = NetworkSize(
    "tiny",
    CovoConfig(
        BackboneConfig(
            vocabulary=668,
            hidden=64,
            layers=2,
            heads=4,
            kv_heads=2,
            ffn=128,
            max_positions=131_072,
            norm_eps=1e-6,
            rope_theta=1e6,
            dtype="float32",
        ),
        EncoderConfig(64, 2, 4, 128, mels=128, positions=1500, scale_embedding=False),
        adapter_stages=3,
        adapter_inner=2048,
        first_audio_token=540,
    ),
    Token2WavConfig(
        FlowConfig(
            codebook=128,
            code_width=32,
            upsample=4,
            latent=8,
            speaker=16,
            hidden=64,
            layers=2,
            heads=4,
            ffn=128,
        ),
        _vocoder(8, 128),
        SamplingConfig(),
        24_000,
    ),
    voice_codes=13,
)

SIZES = (FULL, MID, TINY)
