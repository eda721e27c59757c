"""The sizes of the language-model side, read from the published ``config.json``.

Reading refuses what this package would compute wrongly (another activation, another RoPE, a sliding
window) and ignores keys that do not matter here. No torch here: a memory plan needs only the sizes.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, TypeVar

from msgspec import Meta, Struct

from model.errors import NetworkConfigError
from voices.strict_reader import read

PLACEHOLDER_BEFORE_AUDIO = 5
"""Distance from the audio placeholder's id up to the first speech token's (151666, 151671)."""

Count = Annotated[int, Meta(ge=1)]
T = TypeVar("T", bound=Struct)


@dataclass(frozen=True, slots=True)
class BackboneConfig:
    """The Qwen2 language model. ``dtype``: that of the weights (``bfloat16``, ``float32`` ...)."""

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
        """Return the features per attention head."""
        return self.hidden // self.heads

    def kv_bytes(self, tokens: int, itemsize: int) -> int:
        """Return the bytes of a key-value cache for ``tokens``, ``itemsize`` bytes per number
        (57,344 bytes per token at full size in bfloat16)."""
        return 2 * self.layers * self.kv_heads * self.head_width * itemsize * tokens


@dataclass(frozen=True, slots=True)
class EncoderConfig:
    """The Whisper encoder. ``positions``: half as many as mel frames (1500 for 30 s)."""

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

    Ids below ``first_audio_token`` are text, those from there on are speech codes.
    """

    backbone: BackboneConfig
    encoder: EncoderConfig
    adapter_stages: int
    adapter_inner: int
    first_audio_token: int

    @property
    def codebook(self) -> int:
        """Return the number of speech codes."""
        return self.backbone.vocabulary - self.first_audio_token

    @property
    def placeholder(self) -> int:
        """Return the id that stands in a prompt for the user's audio."""
        return self.first_audio_token - PLACEHOLDER_BEFORE_AUDIO

    @classmethod
    def read(cls, path: Path) -> CovoConfig:
        """Read ``config.json``, as transformers 4 or 5 writes it. Raises: NetworkConfigError."""
        file = read_config(path, _CovoFile)
        stages = file.adapter_downsample.bit_length() - 1
        encoder = file.encoder_config.config()
        inner, first_audio = file.adapter_inner, file.audio_token_index
        return cls(file.backbone(), encoder, stages, inner, first_audio)


class _RopeFile(Struct):
    rope_theta: float | None = None
    rope_type: str = "default"

    def __post_init__(self) -> None:
        require(self, rope_type="default")


class _LlmFile(Struct):
    vocab_size: Count
    hidden_size: Count
    num_hidden_layers: Count
    num_attention_heads: Count
    num_key_value_heads: Count
    intermediate_size: Count
    max_position_embeddings: Count = 32_768
    rms_norm_eps: float = 1e-6
    rope_parameters: _RopeFile | None = None
    rope_theta: float = 10_000.0
    rope_type: str = "default"
    rope_scaling: object = None
    model_type: str = "qwen2"
    hidden_act: str = "silu"
    use_sliding_window: bool = False
    tie_word_embeddings: bool = False

    def __post_init__(self) -> None:
        require(self, model_type="qwen2", hidden_act="silu", use_sliding_window=False)
        require(self, tie_word_embeddings=False, rope_scaling=None)
        if self.rope_parameters is None:
            require(self, rope_type="default")
        if self.hidden_size % self.num_attention_heads:
            raise ValueError(
                f"hidden_size {self.hidden_size} is not a multiple of num_attention_heads "
                f"{self.num_attention_heads}"
            )


class _EncoderFile(Struct):
    d_model: Count
    encoder_layers: Count
    encoder_attention_heads: Count
    encoder_ffn_dim: Count
    num_mel_bins: Count
    max_source_positions: Count = 1500
    scale_embedding: bool = False
    model_type: str = "whisper"
    activation_function: str = "gelu"

    def __post_init__(self) -> None:
        require(self, model_type="whisper", activation_function="gelu")

    def config(self) -> EncoderConfig:
        return EncoderConfig(
            hidden=self.d_model,
            layers=self.encoder_layers,
            heads=self.encoder_attention_heads,
            ffn=self.encoder_ffn_dim,
            mels=self.num_mel_bins,
            positions=self.max_source_positions,
            scale_embedding=self.scale_embedding,
        )


class _CovoFile(Struct):
    llm_config: _LlmFile
    encoder_config: _EncoderFile
    adapter_downsample: Count
    whisper_feats_dim: Count | None = None
    audio_token_index: Count = 151_671
    # A constant of the published code; our smaller networks write it into their config.
    adapter_inner: Count = 2048
    model_type: str = "covo_audio"
    dtype: str | None = None  # transformers 5
    torch_dtype: str = "bfloat16"  # transformers 4

    def __post_init__(self) -> None:
        require(self, model_type="covo_audio")
        if self.whisper_feats_dim is not None:
            require(self, whisper_feats_dim=self.encoder_config.d_model)
        if self.adapter_downsample < 2 or self.adapter_downsample & (self.adapter_downsample - 1):
            raise ValueError(f"adapter_downsample is {self.adapter_downsample}, not a power of two")
        vocabulary = self.llm_config.vocab_size
        if not PLACEHOLDER_BEFORE_AUDIO <= self.audio_token_index < vocabulary:
            raise ValueError(
                f"audio_token_index is {self.audio_token_index}, outside a vocabulary of "
                f"{vocabulary}"
            )

    def backbone(self) -> BackboneConfig:
        llm, theta = self.llm_config, self.llm_config.rope_theta
        if llm.rope_parameters is not None and llm.rope_parameters.rope_theta is not None:
            theta = llm.rope_parameters.rope_theta
        return BackboneConfig(
            vocabulary=llm.vocab_size,
            hidden=llm.hidden_size,
            layers=llm.num_hidden_layers,
            heads=llm.num_attention_heads,
            kv_heads=llm.num_key_value_heads,
            ffn=llm.intermediate_size,
            max_positions=llm.max_position_embeddings,
            norm_eps=llm.rms_norm_eps,
            rope_theta=theta,
            dtype=self.dtype or self.torch_dtype,
        )


def read_config(path: Path, kind: type[T]) -> T:
    """Read the ``config.json`` of a Covo-Audio model as ``kind``. Raises: NetworkConfigError."""
    remedy = "is this a Covo-Audio model?"
    return read(path, kind, NetworkConfigError, remedy=remedy, ignore_unknown=True)


def require(section: Struct, **supported: object) -> None:
    """Check that the keys of ``section`` have the only ``supported`` values. Raises: ValueError."""
    for key, wanted in supported.items():
        if (value := getattr(section, key)) != wanted:
            raise ValueError(f"{key} is {value!r}; only {wanted!r} is supported")
