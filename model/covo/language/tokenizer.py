"""Text to token ids and back: the Qwen2 tokenizer of a model folder, checked against the network.

Ids below the first speech token are the tokenizer's, ids from there on are speech codes; a
tokenizer of another length would shift every code. Text of a user never becomes a control token:
``<|im_end|>`` in a persona file is eight letters, not the end of a block.
"""

from __future__ import annotations

import codecs
from dataclasses import dataclass
from pathlib import Path

from transformers import Qwen2Tokenizer
from transformers.convert_slow_tokenizer import bytes_to_unicode

from model.covo.config.config import CovoConfig
from model.errors import NetworkConfigError

_FILES = ("tokenizer.json", "vocab.json")


@dataclass(frozen=True, slots=True)
class ControlTokens:
    """The ids of the tokens that the prompt is built from. ``audio`` is the placeholder between
    ``audio_begin`` and ``audio_end``."""

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
    """The tokenizer of a model. ``size``: how many ids are text or control tokens; ``control``:
    the ids that the prompt is built from; ``text_ids``: those that stand for bytes of text.

    Made by :meth:`read`.
    """

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
        """The tokenizer in ``folder``: tokenizer.json, or vocab.json and merges.txt.

        Raises: NetworkConfigError when it is missing, unreadable, or not that of ``config``.
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
        except Exception as error:  # the library raises what it likes for a damaged file
            reason = " ".join(f"{type(error).__name__}: {error}".split())[:200]
            raise NetworkConfigError(
                f"the tokenizer in {folder} cannot be read: {reason}"
            ) from error

    def encode(self, text: str) -> tuple[int, ...]:
        """The ids of ``text``, which may hold anything: nothing in it becomes a control token."""
        return tuple(self._backend.encode(text, add_special_tokens=False).ids)

    def decode(self, ids: tuple[int, ...] | list[int]) -> str:
        """The text of ``ids``, control tokens and speech codes left out."""
        stream = TextStream(self)
        return "".join(stream.step(i) for i in ids) + stream.end()

    def spelling(self, index: int) -> bytes:
        """The bytes that id ``index`` adds to a text; none for control tokens and speech."""
        return self._bytes[index] if index < self.size else b""


class TextStream:
    """Text as its tokens come. A token may hold part of a character; it is held back until the
    rest has come, so what was given out never changes."""

    def __init__(self, tokenizer: CovoTokenizer) -> None:
        self._tokenizer = tokenizer
        self._decoder = codecs.getincrementaldecoder("utf-8")(errors="replace")

    def step(self, index: int) -> str:
        """What token ``index`` adds."""
        return self._decoder.decode(self._tokenizer.spelling(index))

    def end(self) -> str:
        """Nothing follows: a character that was never finished becomes U+FFFD."""
        return self._decoder.decode(b"", final=True)


def _control_tokens(folder: Path, qwen: Qwen2Tokenizer, config: CovoConfig) -> ControlTokens:
    if len(qwen) != config.first_audio_token:
        raise NetworkConfigError(
            f"the tokenizer in {folder} has {len(qwen)} tokens, but speech begins at id "
            f"{config.first_audio_token} (audio_token_index): they are not of one model"
        )
    vocabulary = qwen.get_vocab()
    missing = [name for name in _NAMES.values() if name not in vocabulary]
    if missing:
        raise NetworkConfigError(
            f"the tokenizer in {folder} lacks {', '.join(missing)}: it is not Covo-Audio's"
        )
    control = ControlTokens(**{field: vocabulary[name] for field, name in _NAMES.items()})
    if control.audio != config.placeholder:
        raise NetworkConfigError(
            f"{folder}: {_NAMES['audio']} is id {control.audio} of the tokenizer, but "
            f"{config.placeholder} by config.json"
        )
    return control
