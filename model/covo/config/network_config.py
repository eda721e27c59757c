"""The sizes of the network, read from the two published ``config.json`` files.

:class:`CovoConfig` describes the language-model side, :class:`Token2WavConfig` the way from speech
codes to a wave. Both refuse what this package would compute wrongly (another activation, another
RoPE, a sliding window) instead of ignoring it. No torch here: a memory plan needs only this.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from math import prod
from pathlib import Path

from model.covo.config.json_section import JsonSection, read_json
from model.errors import NetworkConfigError, NetworkInputError

PLACEHOLDER_BEFORE_AUDIO = 5
"""The audio placeholder's id is this far below the first speech token's (151666 and 151671)."""

# Of flow matching and the vocoder, constants of the published code too.
TIME_FEATURES = 256
EMBED_KERNEL = 31
EMBED_GROUPS = 16
VOCODER_KERNEL = 7
"""Of the vocoder's first and last convolution."""

_FIRST_AUDIO_TOKEN = 151_671
_ADAPTER_INNER = 2048
"""A constant of the published code, not a key of its config; smaller networks of ours write it
there, as ``adapter_inner``."""


@dataclass(frozen=True, slots=True)
class BackboneConfig:
    """The Qwen2 language model. ``dtype`` is the weights' own (``bfloat16``, ``float32`` ...)."""

    vocabulary: int
    hidden: int
    layers: int
    heads: int
    kv_heads: int
    ffn: int
    max_positions: int
    norm_eps: float
    rope_theta: float
    dtype: str

    @property
    def head_width(self) -> int:
        """Features per attention head."""
        return self.hidden // self.heads

    def kv_bytes(self, tokens: int, itemsize: int) -> int:
        """Memory of a key-value cache for ``tokens``, with ``itemsize`` bytes per number
        (57,344 bytes per token at full size in bfloat16)."""
        return 2 * self.layers * self.kv_heads * self.head_width * itemsize * tokens


@dataclass(frozen=True, slots=True)
class EncoderConfig:
    """The Whisper encoder. ``positions`` is half of the mel frames it wants (1500 for 30 s)."""

    hidden: int
    layers: int
    heads: int
    ffn: int
    mels: int
    positions: int
    scale_embedding: bool


@dataclass(frozen=True, slots=True)
class CovoConfig:
    """The language-model side: encoder, adapter (``adapter_stages`` halvings) and backbone.

    Ids from ``first_audio_token`` to the end of the vocabulary are speech codes; those below it
    are text.
    """

    backbone: BackboneConfig
    encoder: EncoderConfig
    adapter_stages: int
    adapter_inner: int
    first_audio_token: int

    @property
    def codebook(self) -> int:
        """How many speech codes there are."""
        return self.backbone.vocabulary - self.first_audio_token

    @property
    def placeholder(self) -> int:
        """The id that stands in a prompt where the user's audio goes."""
        return self.first_audio_token - PLACEHOLDER_BEFORE_AUDIO

    @classmethod
    def read(cls, path: Path) -> CovoConfig:
        """Read ``config.json``, as transformers 4 or 5 writes it.

        Raises: NetworkConfigError.
        """
        root = read_json(path)
        root.require("model_type", "covo_audio")
        backbone = _backbone(root.section("llm_config"), root)
        encoder = _encoder(root.section("encoder_config"))
        downsample = root.integer("adapter_downsample")
        if downsample < 2 or downsample & (downsample - 1):
            raise NetworkConfigError(
                f"{path}: adapter_downsample is {downsample}, not a power of two; is this a "
                "Covo-Audio model?"
            )
        if (given := root.integer("whisper_feats_dim", encoder.hidden)) != encoder.hidden:
            raise NetworkConfigError(
                f"{path}: whisper_feats_dim is {given}, but the encoder's d_model is "
                f"{encoder.hidden}"
            )
        first_audio = root.integer("audio_token_index", _FIRST_AUDIO_TOKEN)
        if not PLACEHOLDER_BEFORE_AUDIO <= first_audio < backbone.vocabulary:
            raise NetworkConfigError(
                f"{path}: audio_token_index is {first_audio}, outside of a vocabulary of "
                f"{backbone.vocabulary}"
            )
        inner = root.integer("adapter_inner", _ADAPTER_INNER)
        return cls(backbone, encoder, downsample.bit_length() - 1, inner, first_audio)


@dataclass(frozen=True, slots=True)
class FlowConfig:
    """The flow-matching network from speech codes to latents. ``upsample`` latents per code."""

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
        """Raises: NetworkInputError for a code outside of the codebook."""
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
        """Samples per latent."""
        return prod(self.upsample_rates)

    def channels(self, stage: int) -> int:
        """Channels behind upsampling stage ``stage``, counted from 0."""
        return self.initial_channels >> (stage + 1)


@dataclass(frozen=True, slots=True)
class SamplingConfig:
    """How the flow is solved: ``points`` in time including both ends, guidance ``alpha`` (None:
    one conditional pass instead of two), and whether the guided vector keeps the conditional
    one's standard deviation."""

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
        """25 in the published network."""
        return self.rate / (self.flow.upsample * self.vocoder.hop)

    @classmethod
    def read(cls, path: Path) -> Token2WavConfig:
        """Read token2wav's ``config.json``. Raises: NetworkConfigError."""
        root = read_json(path)
        model = root.section("model")
        model.require("type", "Token2WavDecoder")
        flow = _flow(model.section("token2latent"))
        vocoder = _bigvgan(model.section("wavegan"))
        if flow.latent != vocoder.latent:
            raise NetworkConfigError(
                f"{path}: z_dim is {flow.latent}, but wavegan.latent_dim is {vocoder.latent}"
            )
        inference = root.section("inference")
        sampling = SamplingConfig(
            inference.integer("s_steps"),
            inference.optional_number("cfg_alpha"),
            inference.flag("rescale_logits", False),
        )
        rate = root.section("data").section("audio").integer("sample_rate")
        return cls(flow, vocoder, sampling, rate)


def _backbone(llm: JsonSection, root: JsonSection) -> BackboneConfig:
    llm.require("model_type", "qwen2")
    llm.require("hidden_act", "silu")
    llm.require("use_sliding_window", False)
    llm.require("tie_word_embeddings", False)
    # transformers 4 writes rope_theta into llm_config itself, transformers 5 into rope_parameters.
    rope = llm.section("rope_parameters") if llm.has("rope_parameters") else llm
    rope.require("rope_type", "default")
    llm.require("rope_scaling", None)
    hidden, heads = llm.integer("hidden_size"), llm.integer("num_attention_heads")
    if hidden % heads:
        raise NetworkConfigError(
            f"{llm.where}: hidden_size {hidden} is not a multiple of {heads} heads"
        )
    return BackboneConfig(
        vocabulary=llm.integer("vocab_size"),
        hidden=hidden,
        layers=llm.integer("num_hidden_layers"),
        heads=heads,
        kv_heads=llm.integer("num_key_value_heads"),
        ffn=llm.integer("intermediate_size"),
        max_positions=llm.integer("max_position_embeddings", 32_768),
        norm_eps=llm.number("rms_norm_eps", 1e-6),
        rope_theta=rope.number("rope_theta", llm.number("rope_theta", 10_000.0)),
        dtype=root.text("dtype", root.text("torch_dtype", "bfloat16")),
    )


def _encoder(encoder: JsonSection) -> EncoderConfig:
    encoder.require("model_type", "whisper")
    encoder.require("activation_function", "gelu")
    return EncoderConfig(
        hidden=encoder.integer("d_model"),
        layers=encoder.integer("encoder_layers"),
        heads=encoder.integer("encoder_attention_heads"),
        ffn=encoder.integer("encoder_ffn_dim"),
        mels=encoder.integer("num_mel_bins"),
        positions=encoder.integer("max_source_positions", 1500),
        scale_embedding=encoder.flag("scale_embedding", False),
    )


def _flow(flow: JsonSection) -> FlowConfig:
    transformer = flow.section("transformer")
    transformer.require("modulation", True)
    transformer.require("rotary_bias", True)
    transformer.require("alibi_bias", False)
    transformer.require("qk_norm", False)
    return FlowConfig(
        codebook=flow.integer("token_vocab_size"),
        code_width=flow.integer("token_input_dim"),
        upsample=flow.integer("upsample_factor"),
        latent=flow.integer("z_dim"),
        speaker=flow.integer("spkr_embed_dim"),
        hidden=transformer.integer("hidden_size"),
        layers=transformer.integer("num_layers"),
        heads=transformer.integer("num_heads"),
        ffn=transformer.integer("ffn_hidden_size"),
    )


def _bigvgan(vocoder: JsonSection) -> BigVganConfig:
    vocoder.require("type", "BigVGANFlowVAE")
    vocoder.require("activation", "snakebeta")
    vocoder.require("snake_logscale", True)
    vocoder.require("resblock", "1")
    vocoder.require("causal", True)
    rates = vocoder.integers("upsample_rates")
    if vocoder.integers("upsample_kernel_sizes") != tuple(2 * rate for rate in rates):
        raise NetworkConfigError(
            f"{vocoder.where}: upsample_kernel_sizes must be twice upsample_rates; this is a "
            "vocoder of another design"
        )
    config = BigVganConfig(
        latent=vocoder.integer("latent_dim"),
        initial_channels=vocoder.integer("upsample_initial_channel"),
        upsample_rates=rates,
        block_kernels=vocoder.integers("resblock_kernel_sizes"),
        block_dilations=vocoder.integer_rows("resblock_dilation_sizes"),
    )
    if len(config.block_kernels) != len(config.block_dilations):
        raise NetworkConfigError(f"{vocoder.where}: resblock kernels and dilations do not pair up")
    if not config.channels(len(rates) - 1):
        raise NetworkConfigError(
            f"{vocoder.where}: upsample_initial_channel {config.initial_channels} cannot be "
            f"halved {len(rates)} times"
        )
    return config
