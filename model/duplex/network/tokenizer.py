"""The tokenizer of a duplex checkpoint: whatever its ``tokenizer.json`` describes, checked against
the profile. Covo-Audio's own prompt and control tokens (:mod:`model.covo.language.tokenizer`) are
not
needed: the profile has its tokens as ids."""

from __future__ import annotations

from pathlib import Path

from tokenizers import Tokenizer
from tokenizers.decoders import DecodeStream

from model.duplex.protocol.profile import DuplexProfile
from model.errors import NetworkConfigError

TOKENIZER = "tokenizer.json"


class TextStream:
    """Text of a reply as its tokens come. What was given out never changes."""

    def __init__(self, tokenizer: Tokenizer) -> None:
        self._tokenizer = tokenizer
        self._stream = DecodeStream(skip_special_tokens=True)

    def step(self, token: int) -> str:
        """What ``token`` adds; nothing while a character is not whole."""
        return self._stream.step(self._tokenizer, token) or ""


def load_tokenizer(folder: Path, profile: DuplexProfile) -> Tokenizer:
    """Raises: NetworkConfigError when it is missing, or spells the profile's tokens otherwise."""
    path = folder / TOKENIZER
    if not path.is_file():
        raise NetworkConfigError(f"{folder} has no {TOKENIZER}")
    try:
        tokenizer: Tokenizer = Tokenizer.from_file(str(path))
    except Exception as error:  # the library raises nothing more special
        raise NetworkConfigError(f"{path} cannot be read: {error}") from error
    for token in profile.tokens.all:
        spelled = tokenizer.id_to_token(token.id)
        if spelled not in (None, token.text):
            raise NetworkConfigError(
                f"{path} spells token {token.id} as {spelled!r}, the duplex profile as "
                f"{token.text!r}: they are not of one model"
            )
    return tokenizer
