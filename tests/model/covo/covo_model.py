"""A tiny Covo-Audio model in the published layout: golden weights, and a tokenizer of 512 bytes
and merges that is trained here. What it says is noise; everything around that is real."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

from tokenizers import AddedToken, Regex, Tokenizer, decoders, models, normalizers, pre_tokenizers
from tokenizers.trainers import BpeTrainer

from tests.model.covo.golden_covo import network_folder, token2wav_folder

VOICE = "default_female"
TEXT_TOKENS = 512
_NAMED = {512: "endoftext", 513: "im_start", 514: "im_end"} | {
    534: "begofcAUDIO",
    535: "cAUDIO",
    536: "endofcAUDIO",
}
_FIRST_AUDIO = 540
_SPLIT = (
    r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n]*"
    r"|\s*[\r\n]+|\s+(?!\S)|\s+"
)
_CORPUS = (
    "the weather in london is nice today and we talk about it with a friend",
    "what is the capital of australia? the capital of australia is canberra.",
    "how many months are in a year? there are twelve months in a year.",
    "could you tell me a short story about a dog that lived on a farm with seven other animals?",
    "yesterday we walked through the old town, bought bread, cheese and some fresh fruit.",
    "please stop talking now and listen to me for a moment, thank you very much",
    "你好，今天天气怎么样？今天天气很好，我们去公园走走吧。",
    "澳大利亚的首都是哪里？是堪培拉。一年有十二个月。谢谢你。",
)


def tiny_tokenizer() -> Tokenizer:
    """Byte-level BPE with exactly the ids of the golden network."""
    tokenizer = Tokenizer(models.BPE())
    tokenizer.normalizer = normalizers.NFC()
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
        [
            pre_tokenizers.Split(Regex(_SPLIT), behavior="isolated"),
            pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False),
        ]
    )
    tokenizer.decoder = decoders.ByteLevel()
    trainer = BpeTrainer(
        vocab_size=TEXT_TOKENS,
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    tokenizer.train_from_iterator(_CORPUS * 3, trainer)
    assert tokenizer.get_vocab_size() == TEXT_TOKENS, "the corpus is too small"
    names = [_NAMED.get(i, f"reserved_{i}") for i in range(TEXT_TOKENS, _FIRST_AUDIO)]
    tokenizer.add_special_tokens([AddedToken(f"<|{name}|>", special=True) for name in names])
    return tokenizer


def covo_folder(target: Path) -> Path:
    """The whole model in ``target``: network, tokenizer, token2wav, and the voice's arrays."""
    network_folder(target)
    tiny_tokenizer().save(str(target / "tokenizer.json"))
    (target / "tokenizer_config.json").write_text(
        json.dumps({"tokenizer_class": "Qwen2Tokenizer", "model_max_length": 32768})
    )
    token2wav_folder(target / "token2wav")
    (target / "voices").mkdir()
    shutil.move(target / "token2wav/prompt", target / "voices" / VOICE)
    return target
