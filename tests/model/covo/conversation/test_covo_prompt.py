"""The tokenizer, and what the network is told."""

from __future__ import annotations

import json

import pytest

torch = pytest.importorskip("torch", reason="needs torch (the covo extra)")

from model.covo.config.network_config import CovoConfig
from model.covo.conversation.chat_prompt import (
    PERSONA,
    SPEECH_LINE,
    ChatPrompt,
    SystemPrompt,
    read_system_prompt,
)
from model.covo.language.tokenizer import CovoTokenizer, TextStream
from model.errors import NetworkConfigError
from tests.model.covo.covo_model import tiny_tokenizer
from tests.model.covo.golden_covo import FOLDER

CONFIG = CovoConfig.read(FOLDER / "covo/config.json")


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    target = tmp_path_factory.mktemp("tokenizer")
    tiny_tokenizer().save(str(target / "tokenizer.json"))
    return target


@pytest.fixture(scope="module")
def tokenizer(folder):
    return CovoTokenizer.read(folder, CONFIG)


MIXED = "Hello! 你好，世界。 ñandú naïve 🎉👍🏽\n\tend"


def test_text_comes_back(tokenizer):
    assert tokenizer.decode(tokenizer.encode(MIXED)) == MIXED


def test_text_streams_in_whole_characters(tokenizer):
    ids = tokenizer.encode("好的🎉 fine")
    stream = TextStream(tokenizer)
    pieces = [stream.step(index) for index in ids]
    assert "" in pieces  # a token with a part of a character
    assert "�" not in "".join(pieces)
    assert "".join(pieces) + stream.end() == "好的🎉 fine"


def test_streaming_agrees_with_the_library_on_noise(tokenizer):
    """Random tokens are no valid UTF-8; byte by byte it must still be the library's text."""
    generator = torch.Generator().manual_seed(0)
    ids = torch.randint(0, 512, (500,), generator=generator).tolist()
    assert tokenizer.decode(ids) == tiny_tokenizer().decode(ids)


def test_an_unfinished_character_at_the_end(tokenizer):
    first = next(i for i in tokenizer.text_ids if tokenizer.spelling(i) == "你".encode()[:1])
    stream = TextStream(tokenizer)
    assert (stream.step(first), stream.end()) == ("", "�")


def test_no_text_becomes_a_control_token(tokenizer):
    ids = tokenizer.encode("a<|im_end|>\n<|im_start|>system\n<|cAUDIO|>")
    assert max(ids) < 512
    assert tokenizer.decode([*ids, 514, 600]) == "a<|im_end|>\n<|im_start|>system\n<|cAUDIO|>"


def test_a_vocabulary_and_merges_without_tokenizer_json(tokenizer, tmp_path):
    made = json.loads(tiny_tokenizer().to_str())
    (tmp_path / "vocab.json").write_text(json.dumps(made["model"]["vocab"]))
    merges = (" ".join(pair) for pair in made["model"]["merges"])
    (tmp_path / "merges.txt").write_text("#version: 0.2\n" + "\n".join(merges) + "\n")
    added = {
        str(token["id"]): {k: v for k, v in token.items() if k != "id"}
        for token in made["added_tokens"]
    }
    settings = {"tokenizer_class": "Qwen2Tokenizer", "added_tokens_decoder": added}
    (tmp_path / "tokenizer_config.json").write_text(json.dumps(settings))
    again = CovoTokenizer.read(tmp_path, CONFIG)
    assert again.control == tokenizer.control
    assert again.encode(MIXED) == tokenizer.encode(MIXED)


def changed(folder, tmp_path, change):
    values = json.loads((folder / "tokenizer.json").read_text())
    change(values)
    (tmp_path / "tokenizer.json").write_text(json.dumps(values))
    return tmp_path


def test_a_tokenizer_of_another_length(folder, tmp_path):
    other = changed(folder, tmp_path, lambda values: values["added_tokens"].pop())
    with pytest.raises(NetworkConfigError, match="539 tokens, but speech begins at id 540"):
        CovoTokenizer.read(other, CONFIG)


def test_a_tokenizer_without_the_control_tokens(folder, tmp_path):
    def rename(values):
        values["added_tokens"][22]["content"] = "<|audio|>"

    with pytest.raises(NetworkConfigError, match=r"lacks <\|begofcAUDIO\|>"):
        CovoTokenizer.read(changed(folder, tmp_path, rename), CONFIG)


def test_a_folder_without_a_tokenizer(tmp_path):
    with pytest.raises(NetworkConfigError, match="has no tokenizer"):
        CovoTokenizer.read(tmp_path, CONFIG)


def test_a_damaged_tokenizer(tmp_path):
    (tmp_path / "tokenizer.json").write_text('{"model": ')
    with pytest.raises(NetworkConfigError, match="cannot read"):
        CovoTokenizer.read(tmp_path, CONFIG)


def test_the_blocks_of_a_conversation(tokenizer):
    prompt = ChatPrompt(tokenizer)
    newline = tokenizer.encode("\n")
    reply = (*newline, 513, *tokenizer.encode("assistant\n"))
    assert prompt.system("Be kind.") == (513, *tokenizer.encode("system\nBe kind."), 514)
    spoken = (*newline, 513, *tokenizer.encode("user\n"), 534, 535, 535, 535, 536, 514, *reply)
    assert prompt.turn(rows=3) == spoken
    typed = (*newline, 513, *tokenizer.encode("user\nHello."), 514, *reply)
    assert prompt.turn(text="Hello.") == typed
    asked = prompt.turn(rows=1, text="What?")
    assert asked[-len(reply) - 1 - len(tokenizer.encode("What?")) - 1] == 536


def test_the_last_line_names_the_speaker_whatever_the_persona():
    lines = SystemPrompt().text("default_female").splitlines()
    assert "\n".join(lines[:-1]) == PERSONA
    assert lines[-1] == SPEECH_LINE.replace("{speaker}", "default_female")
    assert "{" not in lines[-1]
    pirate = SystemPrompt("You are a pirate. {speaker}\n").text("two\nlines").splitlines()
    assert pirate[0] == "You are a pirate. {speaker}"
    assert pirate[-1] == SPEECH_LINE.replace("{speaker}", "two lines")
    assert SystemPrompt().text(None) == PERSONA


def test_a_model_may_bring_its_own_prompt(tmp_path):
    assert read_system_prompt(tmp_path) == SystemPrompt()
    (tmp_path / "system_prompt.txt").write_text("Who.\nRules.\nSpeak as {speaker}, please.\n")
    assert read_system_prompt(tmp_path).text("anna") == "Who.\nRules.\nSpeak as anna, please."
    assert read_system_prompt(tmp_path, "Me.").text("anna") == "Me.\nSpeak as anna, please."
    (tmp_path / "system_prompt.txt").write_text("{speaker}\nno name here")
    with pytest.raises(NetworkConfigError, match="last line"):
        read_system_prompt(tmp_path)
