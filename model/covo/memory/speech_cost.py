"""Count the floating-point operations of each chunk of speech, from the sizes alone.

As in ``torch.utils.flop_counter``, with which the tests compare, a multiply-add is two operations,
and norms, activations and rotations do not count.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from model.covo.config.token2wav_config import (
    EMBED_GROUPS,
    EMBED_KERNEL,
    TIME_FEATURES,
    VOCODER_KERNEL,
    BigVganConfig,
    FlowConfig,
    SamplingConfig,
    Token2WavConfig,
)
from model.covo.speech.antialias import TAPS
from model.covo.speech.chunk_schedule import Chunk, ChunkSchedule

_VOCODED_AGAIN = 9
"""Latents before a chunk that the vocoder makes again, on average over its operations: 13 in the
last layers, fewer in those before."""


@dataclass(frozen=True, slots=True)
class ChunkCost:
    """The ``flow`` and ``vocoder`` operations for ``chunk``, which is ``seconds`` of speech."""

    chunk: Chunk
    flow: int
    vocoder: int
    seconds: float

    @property
    def total(self) -> int:
        """Return the operations of both networks."""
        return self.flow + self.vocoder


def chunk_costs(
    config: Token2WavConfig,
    prompt_codes: int,
    codes: int,
    schedule: ChunkSchedule,
    sampling: SamplingConfig | None = None,
) -> Iterator[ChunkCost]:
    """Yield the cost of each chunk of a reply of ``codes`` codes after ``prompt_codes``."""
    for chunk in schedule.chunks(codes):
        own = chunk.end - chunk.begin
        # Except at the beginning, the vocoder makes again what was not exact yet.
        latents = config.flow.upsample * own + (_VOCODED_AGAIN if chunk.begin else 0)
        yield ChunkCost(
            chunk,
            flow_flops(
                config.flow, prompt_codes + chunk.ahead - chunk.past, sampling or config.sampling
            ),
            vocoder_flops(config.vocoder, latents),
            own / config.codes_per_second,
        )


def flow_flops(config: FlowConfig, codes: int, sampling: SamplingConfig) -> int:
    """Count the flow's operations for ``codes`` codes, prompt and reply together."""
    hidden, time = config.hidden, config.upsample * codes
    in_and_out = hidden * (hidden + 3 * config.latent)
    neighbours = hidden * hidden // EMBED_GROUPS * EMBED_KERNEL
    layers = config.layers * (4 * hidden * hidden + 2 * hidden * time + 2 * hidden * config.ffn)
    condition = hidden * (TIME_FEATURES + hidden + hidden + config.speaker)
    modulation = (6 * config.layers + 2) * hidden * hidden
    batch = 1 if sampling.alpha is None else 2
    call = batch * time * (in_and_out + neighbours + layers) + condition + modulation
    once = codes * hidden * (config.code_width + 2 * config.upsample * hidden)
    return 2 * (2 * (sampling.points - 1) * call + once)


def vocoder_flops(config: BigVganConfig, latents: int) -> int:
    """Count the vocoder's operations for ``latents``, without a stream's edges."""
    width, rate = config.initial_channels, 1
    total = VOCODER_KERNEL * config.latent * width
    for stage, factor in enumerate(config.upsample_rates):
        narrow = config.channels(stage)
        total += rate * 2 * factor * width * narrow
        width, rate = narrow, rate * factor
        for kernel, dilations in zip(config.block_kernels, config.block_dilations, strict=True):
            convolutions = 2 * len(dilations)
            total += rate * convolutions * width * (kernel * width + 2 * TAPS)
    return 2 * latents * (total + rate * width * (VOCODER_KERNEL + 2 * TAPS))
