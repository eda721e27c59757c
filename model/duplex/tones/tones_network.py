"""A network for the synthetic dialogues: Covo-Audio's layout, small enough for a CPU."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import save_file
from tokenizers import Tokenizer
from tokenizers.models import WordLevel
from tokenizers.pre_tokenizers import WhitespaceSplit

from model.covo.config.config import CovoConfig
from model.covo.language.network import CovoNetwork
from model.duplex.protocol.profile import (
    ContextProfile,
    DuplexProfile,
    DuplexTokens,
    Sampling,
    SamplingProfile,
    Speech,
    StreamingEncoderProfile,
    Token,
)
from model.duplex.protocol.profile_file import FILE, write_profile
from model.duplex.tones.tones import WORDS

_TEXT = 20
"""Ids below it are words; those that :data:`~model.duplex.tones.tones.WORDS` does not need are
spare.
"""
_FIRST_CODE = 32
_CODEBOOK = 128
"""More than there are tones: as many as the tests' tiny token2wav has, which can speak them."""
_BEGIN = 19

_SETTINGS: dict[str, Any] = {
    "model_type": "covo_audio",
    "audio_token_index": _FIRST_CODE,
    "adapter_downsample": 8,
    "adapter_inner": 96,
    "dtype": "float32",
    "encoder_config": {
        "model_type": "whisper",
        "activation_function": "gelu",
        "d_model": 48,
        "encoder_layers": 2,
        "encoder_attention_heads": 4,
        "encoder_ffn_dim": 128,
        "num_mel_bins": 64,
        "max_source_positions": 400,
    },
    "llm_config": {
        "model_type": "qwen2",
        "vocab_size": _FIRST_CODE + _CODEBOOK,
        "hidden_size": 64,
        "num_hidden_layers": 2,
        "num_attention_heads": 4,
        "num_key_value_heads": 2,
        "intermediate_size": 192,
        "max_position_embeddings": 4096,
        "rope_parameters": {"rope_type": "default", "rope_theta": 10_000.0},
        "tie_word_embeddings": False,
    },
}


def tones_profile() -> DuplexProfile:
    """The default protocol, with what is smaller in a small world."""
    named = {"think": 20, "shift": 21, "break": 22, "text_filler": 23, "speech_filler": 24}
    tokens = [Token(i, f"<{name}>") for name, i in named.items()]
    return DuplexProfile(
        tokens=DuplexTokens(*tokens),
        text_vocabulary=_TEXT,
        speech=Speech.TONES,
        prompt=(_BEGIN,),
        encoder=StreamingEncoderProfile(look_back=64, position_period=400, mel_floor=-5.0),
        context=ContextProfile(window=256, evict=64),  # as long as a dialogue of training
        sampling=SamplingProfile(*[Sampling(0.0)] * 3),
    )


def write_untrained(folder: Path, seed: int = 0) -> None:
    """Write a checkpoint with random weights into ``folder``, which is made."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "config.json").write_text(json.dumps(_SETTINGS, indent=2) + "\n", encoding="utf-8")
    config = CovoConfig.read(folder / "config.json")
    profile = tones_profile()
    profile.check(config)
    write_profile(profile, folder / FILE)
    vocabulary = {word: number for number, word in enumerate(WORDS)}
    vocabulary |= {"<begin>": _BEGIN, **{token.text: token.id for token in profile.tokens.all}}
    tokenizer = Tokenizer(WordLevel(vocabulary, unk_token="<begin>"))
    tokenizer.pre_tokenizer = WhitespaceSplit()
    tokenizer.add_special_tokens(["<begin>", *(token.text for token in profile.tokens.all)])
    tokenizer.save(str(folder / "tokenizer.json"))
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        network = CovoNetwork(config)
    tensors = {name: p.detach().contiguous() for name, p in network.named_parameters()}
    save_file(tensors, folder / "model.safetensors")
