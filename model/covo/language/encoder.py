"""What the user says, as embeddings for the language model: Whisper's encoder and the adapter.

The encoder is transformers' own. It always sees 30 s, without a mask, so its cost does not depend
on how much was said.
"""

from __future__ import annotations

import torch
from torch import Tensor
from transformers import WhisperConfig
from transformers.models.whisper.modeling_whisper import WhisperEncoder

from model.covo.config.config import EncoderConfig
from model.covo.language.adapter import AudioAdapter
from model.covo.language.features import TurnFeatures


def whisper_encoder(config: EncoderConfig) -> WhisperEncoder:
    """transformers' encoder of these sizes, with SDPA attention, on the current default device."""
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
    """Shape (turn.placeholders, LLM width): the embeddings of one turn.

    Segments go through one by one, so a ten-minute turn needs no more memory than 30 s; one of
    which no row is wanted is skipped.
    """
    weight = encoder.conv1.weight
    kept = []
    for log_mel, rows in zip(turn.log_mels, turn.rows, strict=True):
        if rows:
            heard = encoder(log_mel[None].to(weight)).last_hidden_state
            kept.append(adapter(heard)[0, :rows])
    return torch.cat(kept)
