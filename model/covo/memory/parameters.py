"""Count each part's parameters from the sizes alone. No torch here.

The formulas follow the modules (:mod:`model.covo.language.network`,
:mod:`model.covo.speech.token2wav`); a test compares them with the modules themselves.
"""

from __future__ import annotations

from model.covo.config.network_config import BackboneConfig, CovoConfig, EncoderConfig
from model.covo.config.token2wav_config import (
    EMBED_GROUPS,
    EMBED_KERNEL,
    TIME_FEATURES,
    VOCODER_KERNEL,
    BigVganConfig,
    FlowConfig,
)


def block_linears(config: BackboneConfig) -> tuple[tuple[int, int], ...]:
    """Return (rows, columns) of the linear weights in one block of the language model: query, key
    and value as one, the attention's output, gate and up as one, down."""
    hidden, shared = config.hidden, config.kv_heads * config.head_width
    attention = ((hidden + 2 * shared, hidden), (hidden, hidden))
    return (*attention, (2 * config.ffn, hidden), (hidden, config.ffn))


def block_vectors(config: BackboneConfig) -> int:
    """Count the biases (query, key, value) and norms in one block of the language model."""
    shared = config.kv_heads * config.head_width
    return config.hidden + 2 * shared + 2 * config.hidden


def embedding_parameters(config: BackboneConfig) -> int:
    """Count the embedding; the head has as many."""
    return config.vocabulary * config.hidden


def encoder_parameters(config: EncoderConfig) -> int:
    """Count Whisper's encoder: two convolutions, positions, layers, a norm; no key biases."""
    hidden = config.hidden
    convolutions = _conv(config.mels, hidden, 3) + _conv(hidden, hidden, 3)
    attention = 4 * hidden * hidden + 3 * hidden
    ffn = _linear(hidden, config.ffn) + _linear(config.ffn, hidden)
    layer = attention + ffn + 4 * hidden
    return convolutions + config.positions * hidden + config.layers * layer + 2 * hidden


def adapter_parameters(config: CovoConfig) -> int:
    """Count the adapter between encoder and language model."""
    width, inner = config.encoder.hidden, config.adapter_inner
    total = 0
    for stage in range(config.adapter_stages):
        out = config.backbone.hidden if stage == config.adapter_stages - 1 else width
        total += _conv(width, width, 3) + _linear(width, inner) + _linear(inner, out)
    return total


def flow_parameters(config: FlowConfig) -> int:
    """Count the flow-matching network."""
    hidden = config.hidden
    tokens = config.codebook * config.code_width + _linear(config.code_width, hidden)
    tokens += _conv(hidden, hidden, 2 * config.upsample)
    entry = _linear(hidden + 2 * config.latent, hidden)
    entry += _conv(hidden // EMBED_GROUPS, hidden, EMBED_KERNEL)
    condition = _linear(TIME_FEATURES, hidden) + _linear(hidden, hidden)
    condition += _linear(hidden + config.speaker, hidden)
    attention = 4 * hidden * hidden + hidden
    ffn = _linear(hidden, config.ffn) + _linear(config.ffn, hidden)
    block = attention + ffn + _linear(hidden, 6 * hidden)
    end = _linear(hidden, 2 * hidden) + _linear(hidden, config.latent)
    return tokens + entry + condition + config.layers * block + end


def vocoder_parameters(config: BigVganConfig) -> int:
    """Count BigVGAN with weight norm folded."""
    width = config.initial_channels
    total = _conv(config.latent, width, VOCODER_KERNEL)
    for stage, rate in enumerate(config.upsample_rates):
        narrow = config.channels(stage)
        total += width * narrow * 2 * rate + narrow
        for kernel, dilations in zip(config.block_kernels, config.block_dilations, strict=True):
            convolutions = 2 * len(dilations)
            total += convolutions * (_conv(narrow, narrow, kernel) + 2 * narrow)
        width = narrow
    return total + 2 * width + _conv(width, 1, VOCODER_KERNEL)


def _linear(inputs: int, outputs: int) -> int:
    return inputs * outputs + outputs


def _conv(inputs: int, outputs: int, kernel: int) -> int:
    return inputs * outputs * kernel + outputs
