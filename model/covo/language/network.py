"""The language-model side of Covo-Audio: encoder, adapter and language model, and their inputs.

Encoder and backbone are transformers' Whisper and Qwen2 classes; the adapter is ours.
:mod:`model.covo.language.decoder` runs the language model over a history.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from transformers import Qwen2Config, Qwen2ForCausalLM
from transformers.models.qwen2.modeling_qwen2 import Qwen2RotaryEmbedding

from model.covo.config.network_config import BackboneConfig, CovoConfig
from model.covo.language.encoder import AudioAdapter, embed_turn, whisper_encoder
from model.covo.language.features import TurnFeatures
from model.errors import NetworkInputError


class CovoNetwork(nn.Module):
    """Encoder, adapter and language model; the parameters have the published names, unless layers
    are merged (:mod:`model.covo.language.merging`)."""

    def __init__(self, config: CovoConfig) -> None:
        super().__init__()
        self.config = config
        self.llm = _qwen2(config.backbone)
        self.encoder = whisper_encoder(config.encoder)
        self.audio_adapter = AudioAdapter(config)

    @property
    def device(self) -> torch.device:
        """Return the network's device; its inputs are moved there."""
        device: torch.device = self.llm.lm_head.weight.device
        return device

    @property
    def dtype(self) -> torch.dtype:
        """Return the dtype of embeddings, keys and values."""
        dtype: torch.dtype = self.llm.model.embed_tokens.weight.dtype
        return dtype

    def build_constants(self) -> None:
        """Compute what no checkpoint holds (RoPE's frequencies, float32) on the network's device,
        for a network that was constructed on the meta device."""
        rotary = Qwen2RotaryEmbedding(config=self.llm.config)
        self.llm.model.rotary_emb = rotary.to(self.device)

    @torch.inference_mode()
    def hear(self, turn: TurnFeatures) -> Tensor:
        """Return the embeddings (turn.placeholders, hidden) for a prompt's placeholders."""
        return embed_turn(self.encoder, self.audio_adapter, turn)

    @torch.inference_mode()
    def embed(self, prompt: Tensor, heard: Tensor | None = None) -> Tensor:
        """Return the embeddings (n, hidden) of the ids ``prompt`` (n,), the placeholders replaced
        by the rows of ``heard``.

        Raises: NetworkInputError for an id outside the vocabulary, or unless rows match
        placeholders.
        """
        if not prompt.numel():
            raise NetworkInputError("the prompt is empty")
        low, high = (int(edge) for edge in prompt.aminmax())
        if low < 0 or high >= self.config.backbone.vocabulary:
            raise NetworkInputError(
                f"token id {low if low < 0 else high} is outside the vocabulary of "
                f"{self.config.backbone.vocabulary}"
            )
        prompt = prompt.to(self.device)
        embedded: Tensor = self.llm.model.embed_tokens(prompt)
        places = prompt == self.config.placeholder
        wanted, given = int(places.sum()), 0 if heard is None else len(heard)
        if wanted != given:
            raise NetworkInputError(
                f"the prompt has {wanted} audio placeholders, but there are {given} embeddings"
            )
        if heard is not None:
            embedded[places] = heard.to(embedded)
        return embedded

    @torch.inference_mode()
    def embed_token(self, token: Tensor) -> Tensor:
        """Return the embedding (1, hidden) of one token, int64 (1,), on the network's device.
        The id is not checked, because that would wait for the device."""
        embedded: Tensor = self.llm.model.embed_tokens(token)
        return embedded


def _qwen2(config: BackboneConfig) -> Qwen2ForCausalLM:
    settings = Qwen2Config(
        vocab_size=config.vocabulary,
        hidden_size=config.hidden,
        intermediate_size=config.ffn,
        num_hidden_layers=config.layers,
        num_attention_heads=config.heads,
        num_key_value_heads=config.kv_heads,
        max_position_embeddings=config.max_positions,
        rms_norm_eps=config.norm_eps,
        rope_parameters={"rope_type": "default", "rope_theta": config.rope_theta},
        tie_word_embeddings=False,
    )
    llm: Qwen2ForCausalLM = Qwen2ForCausalLM._from_config(settings, attn_implementation="sdpa")
    return llm
