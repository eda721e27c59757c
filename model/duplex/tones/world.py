"""Write a world to train a first duplex network in: network, dialogues and configuration.

The network has Covo-Audio's layout and is small enough for a CPU.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from tokenizers import Tokenizer
from tokenizers.models import WordLevel
from tokenizers.pre_tokenizers import WhitespaceSplit

from model.covo.config.network_config import CovoConfig
from model.covo.language.network import CovoNetwork
from model.duplex.network.network import TOKENIZER
from model.duplex.protocol.grammar import Grammar
from model.duplex.protocol.profile import (
    ContextProfile,
    DuplexProfile,
    DuplexTokens,
    LoopSampling,
    SamplingProfile,
    Speech,
    StreamingEncoderProfile,
    Token,
    default_profile,
    read_profile,
    write_profile,
)
from model.duplex.tones.tones import WORDS, dialogue
from model.duplex.training.dataset import write_dialogue
from model.duplex.training.whole import write_tensors

SECONDS = 10.0
"""Approximate length of a dialogue."""

CONFIG = """\
# covo train duplex --config THIS FILE

[network]
folder = "untrained"
output = "trained"
dtype = "float16"

[data]
folder = "dialogues"
codec = "tones"
keep = true

[training]
steps = 500
batch = 8
learning_rate = 3e-3
warm_up = 40
lowest_rate = 0.05
weight_decay = 0.01
save_every = 100

[loss]
think = 1.0
shift = 2.0
stop = 2.0
text = 4.0    # only a reply's first word, the pitch, has to be heard; the rest follows
text_end = 0.3
text_filler = 0.3
speech = 0.5
"""

_TEXT = 20
"""Ids below it are words, some of them spare."""
_FIRST_CODE = 32
_CODEBOOK = 128
"""More codes than tones: as many as the tiny token2wav of the tests can speak."""
_BEGIN = 19

SETTINGS: dict[str, Any] = {
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


def tones_profile(config: CovoConfig) -> DuplexProfile:
    """Return the default profile, scaled down."""
    names = {"break": 22, "think": 20, "shift": 21, "text_filler": 23, "speech_filler": 24}
    return replace(
        default_profile(config),
        tokens=DuplexTokens(*(Token(id, f"<{name}>") for name, id in names.items())),
        text_vocabulary=_TEXT,
        speech=Speech.TONES,
        prompt=(_BEGIN,),
        encoder=StreamingEncoderProfile(look_back=64, position_period=400, mel_floor=-5.0),
        context=ContextProfile(window=256, evict=64),  # as long as a training dialogue
        sampling=SamplingProfile(*[LoopSampling(0.0, 0)] * 3),
    )


def write_untrained(folder: Path, seed: int = 0) -> None:
    """Write a checkpoint with random weights into ``folder``, creating it."""
    words = {word: number for number, word in enumerate(WORDS)}
    write_network(folder, SETTINGS, tones_profile, {**words, "<begin>": _BEGIN}, seed)


def write_network(
    folder: Path,
    settings: Mapping[str, Any],
    profile_of: Callable[[CovoConfig], DuplexProfile],
    vocabulary: Mapping[str, int],
    seed: int,
) -> None:
    """Write a checkpoint of ``settings`` with random weights into ``folder``, creating it.

    ``vocabulary``: what the tokenizer has beside the profile's tokens. In ``<>``: control tokens.
    """
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "config.json").write_text(json.dumps(settings, indent=2) + "\n", encoding="utf-8")
    config = CovoConfig.read(folder / "config.json")
    profile = profile_of(config)
    profile.check(config)
    write_profile(profile, folder)
    whole = {**vocabulary, **{token.text: token.id for token in profile.tokens.all}}
    tokenizer = Tokenizer(WordLevel(whole, unk_token="<begin>"))
    tokenizer.pre_tokenizer = WhitespaceSplit()
    tokenizer.add_special_tokens([text for text in whole if text.startswith("<")])
    (folder / TOKENIZER).write_text(tokenizer.to_str(pretty=True), encoding="utf-8")
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        network = CovoNetwork(config)
    tensors = {name: p.detach().contiguous() for name, p in network.named_parameters()}
    write_tensors(folder / "model.safetensors", tensors)


def write_world(
    folder: Path, dialogues: int, *, seed: int = 0, progress: Callable[[], None] = lambda: None
) -> None:
    """Write an untrained network, synthetic ``dialogues`` and ``train.toml`` into ``folder``.

    ``progress`` is called after each dialogue.
    """
    untrained, data = folder / "untrained", folder / "dialogues"
    write_untrained(untrained, seed)
    data.mkdir(exist_ok=True)
    config = CovoConfig.read(untrained / "config.json")
    grammar = Grammar(read_profile(untrained), config)
    tokenizer = Tokenizer.from_file(str(untrained / TOKENIZER))
    ids: dict[str, int] = {word: tokenizer.encode(word).ids[0] for word in WORDS}
    for number in range(dialogues):
        random = np.random.default_rng((seed, number))
        made = dialogue(grammar, ids, random, SECONDS)
        write_dialogue(data / f"{number:05}.wav", made, grammar, tokenizer)
        progress()
    (folder / "train.toml").write_text(CONFIG, encoding="utf-8")
