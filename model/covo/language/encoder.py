"""Embed the user's speech for the language model: Whisper's encoder and an adapter.

The encoder is transformers' own. It always sees 30 s without a mask, so its cost does not depend on
the length of the speech. The adapter halves its 50 Hz three times, to the LLM's 6.25 Hz.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional
from transformers import WhisperConfig
from transformers.models.whisper.modeling_whisper import WhisperEncoder

from model.covo.config.network_config import CovoConfig, EncoderConfig
from model.covo.language.features import TurnFeatures


class DownsampleLayer(nn.Module):
    """Halve the rate: a strided convolution and two linear layers, with ReLU between them."""

    def __init__(self, width: int, inner: int, out: int) -> None:
        super().__init__()
        self.conv1d = nn.Conv1d(width, width, kernel_size=3, stride=2, padding=1)
        self.linear1 = nn.Linear(width, inner)
        self.linear2 = nn.Linear(inner, out)

    def forward(self, x: Tensor) -> Tensor:
        """Map (batch, time, width) to (batch, ceil(time / 2), out)."""
        halved = functional.relu(self.conv1d(x.transpose(1, 2))).transpose(1, 2)
        out: Tensor = self.linear2(functional.relu(self.linear1(halved)))
        return out


class AudioAdapter(nn.Module):
    """``config.adapter_stages`` downsampling layers; the last one has the LLM's width."""

    def __init__(self, config: CovoConfig) -> None:
        super().__init__()
        width, last = config.encoder.hidden, config.adapter_stages - 1
        self.downsample_layers = nn.ModuleList(
            DownsampleLayer(
                width, config.adapter_inner, config.backbone.hidden if stage == last else width
            )
            for stage in range(config.adapter_stages)
        )

    def forward(self, x: Tensor) -> Tensor:
        """Map (batch, 1500, encoder width) to (batch, 188, LLM width)."""
        for layer in self.downsample_layers:
            x = layer(x)
        return x


def whisper_encoder(config: EncoderConfig) -> WhisperEncoder:
    """Build transformers' encoder with SDPA attention on the current default device."""
    settings = WhisperConfig(
        d_model=config.hidden,
        encoder_layers=config.layers,
        encoder_attention_heads=config.heads,
        encoder_ffn_dim=config.ffn,
        num_mel_bins=config.mels,
        max_source_positions=config.positions,
        scale_embedding=config.scale_embedding,
    )
    encoder: WhisperEncoder = WhisperEncoder._from_config(settings, attn_implementation="sdpa")
    return encoder


def embed_turn(encoder: WhisperEncoder, adapter: AudioAdapter, turn: TurnFeatures) -> Tensor:
    """Return the embeddings of one turn: (turn.placeholders, LLM width).

    Segments go through one by one, so ten minutes need no more memory than 30 s. Segments that
    contribute no rows are skipped.
    """
    weight = encoder.conv1.weight
    kept = []
    for log_mel, rows in zip(turn.log_mels, turn.rows, strict=True):
        if rows:
            heard = encoder(log_mel[None].to(weight)).last_hidden_state
            kept.append(adapter(heard)[0, :rows])
    return torch.cat(kept)
