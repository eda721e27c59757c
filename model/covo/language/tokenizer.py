"""Text to token ids and back: the Qwen2 tokenizer of a model folder, checked against the network.

Ids below the first speech token are the tokenizer's, ids from there on are speech codes, so a
tokenizer of another length would shift every code. A user's text never becomes a control token:
``<|im_end|>`` in a persona file is plain characters, not the end of a block.
"""

from __future__ import annotations

import codecs
from dataclasses import dataclass
from pathlib import Path

from transformers import Qwen2Tokenizer
from transformers.convert_slow_tokenizer import bytes_to_unicode

from model.covo.config.network_config import CovoConfig
from model.errors import NetworkConfigError

_FILES = ("tokenizer.json", "vocab.json")


@dataclass(frozen=True, slots=True)
class ControlTokens:
    """The ids of a prompt's control tokens. ``audio`` is the placeholder between ``audio_begin``
    and ``audio_end``."""

    block_begin: int
    block_end: int
    text_end: int
    audio_begin: int
    audio: int
    audio_end: int


_NAMES = {
    "block_begin": "<|im_start|>",
    "block_end": "<|im_end|>",
    "text_end": "<|endoftext|>",
    "audio_begin": "<|begofcAUDIO|>",
    "audio": "<|cAUDIO|>",
    "audio_end": "<|endofcAUDIO|>",
}


class CovoTokenizer:
    """The tokenizer of a model; see :meth:`read`. ``size``: the number of text and control ids;
    ``control``: a prompt's control tokens; ``text_ids``: the ids that spell text."""

    def __init__(self, qwen: Qwen2Tokenizer, control: ControlTokens) -> None:
        self.control = control
        self.size = len(qwen)
        self._backend = qwen.backend_tokenizer
        self._backend.encode_special_tokens = True
        alphabet = {character: byte for byte, character in bytes_to_unicode().items()}
        controls = set(self._backend.get_added_tokens_decoder())
        self._bytes: list[bytes] = []
        for index in range(self.size):
            spelled = self._backend.id_to_token(index)
            if index in controls or spelled is None:
                self._bytes.append(b"")
            else:
                self._bytes.append(bytes(alphabet[character] for character in spelled))
        self.text_ids = tuple(i for i, spelled in enumerate(self._bytes) if spelled)

    @classmethod
    def read(cls, folder: Path, config: CovoConfig) -> CovoTokenizer:
        """Read the tokenizer in ``folder``: tokenizer.json, or vocab.json and merges.txt.

        Raises: NetworkConfigError when it is missing, unreadable or another model's.
        """
        if not any((folder / name).is_file() for name in _FILES):
            raise NetworkConfigError(
                f"{folder} has no tokenizer: neither tokenizer.json nor vocab.json and merges.txt"
            )
        try:
            qwen = Qwen2Tokenizer.from_pretrained(folder, local_files_only=True)
            return cls(qwen, _control_tokens(folder, qwen, config))
        except NetworkConfigError:
            raise
        except Exception as error:  # the library raises all kinds for a damaged file
            reason = " ".join(f"{type(error).__name__}: {error}".split())[:200]
            raise NetworkConfigError(f"cannot read the tokenizer in {folder}: {reason}") from error

    def encode(self, text: str) -> tuple[int, ...]:
        """Return the ids of ``text``, never a control token's."""
        return tuple(self._backend.encode(text, add_special_tokens=False).ids)

    def decode(self, ids: tuple[int, ...] | list[int]) -> str:
        """Return the text of ``ids`` without control tokens and speech codes."""
        stream = TextStream(self)
        return "".join(stream.step(i) for i in ids) + stream.end()

    def spelling(self, index: int) -> bytes:
        """Return the bytes that id ``index`` spells; none for control tokens and speech."""
        return self._bytes[index] if index < self.size else b""

    def name(self, index: int) -> str | None:
        """Return the vocabulary's name of id ``index``, a control token's too, or None."""
        spelled: str | None = self._backend.id_to_token(index)
        return spelled


class TextStream:
    """Decodes text token by token. A token may end inside a character; the character is held back
    until it is complete, so returned text never changes."""

    def __init__(self, tokenizer: CovoTokenizer) -> None:
        self._tokenizer = tokenizer
        self._decoder = codecs.getincrementaldecoder("utf-8")(errors="replace")

    def step(self, index: int) -> str:
        """Return the text that token ``index`` completes."""
        return self._decoder.decode(self._tokenizer.spelling(index))

    @property
    def pending(self) -> bool:
        """Return whether part of a character is held back."""
        return bool(self._decoder.getstate()[0])

    def end(self) -> str:
        """Return what is held back; an incomplete character becomes U+FFFD."""
        return self._decoder.decode(b"", final=True)


def _control_tokens(folder: Path, qwen: Qwen2Tokenizer, config: CovoConfig) -> ControlTokens:
    if len(qwen) != config.first_audio_token:
        raise NetworkConfigError(
            f"the tokenizer in {folder} has {len(qwen)} tokens, but speech begins at id "
            f"{config.first_audio_token} (audio_token_index): they belong to different models"
        )
    vocabulary = qwen.get_vocab()
    missing = [name for name in _NAMES.values() if name not in vocabulary]
    if missing:
        raise NetworkConfigError(
            f"the tokenizer in {folder} lacks {', '.join(missing)}; is it Covo-Audio's?"
        )
    control = ControlTokens(**{field: vocabulary[name] for field, name in _NAMES.items()})
    if control.audio != config.placeholder:
        raise NetworkConfigError(
            f"{folder}: {_NAMES['audio']} is id {control.audio} in the tokenizer, but "
            f"{config.placeholder} in config.json"
        )
    return control
