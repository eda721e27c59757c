"""The protocol that a student of half-duplex weights begins with."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from model.covo.config.network_config import CovoConfig
from model.covo.conversation.chat_prompt import ChatPrompt, SystemPrompt, read_system_prompt
from model.covo.language.tokenizer import CovoTokenizer
from model.duplex.protocol.profile import DuplexProfile, default_profile, require_half_duplex
from model.errors import NetworkConfigError

_TOKENIZER = "tokenizer.json"


def student_profile(folder: Path, speaker: str, line: str) -> DuplexProfile:
    """Return the profile for a student of the half-duplex checkpoint in ``folder``.

    Its prompt is the teacher's system block with another last ``line``, which names the
    ``speaker``. Raises: NetworkConfigError if the checkpoint cannot be a teacher.
    """
    require_half_duplex(folder)
    config = CovoConfig.read(folder / "config.json")
    if not (folder / _TOKENIZER).is_file():
        raise NetworkConfigError(
            f"{folder} has no {_TOKENIZER}, which a full-duplex network needs; save the tokenizer "
            "as one with transformers"
        )
    tokenizer = CovoTokenizer.read(folder, config)
    profile = default_profile(config)
    for token in profile.tokens.all:
        spelled = tokenizer.name(token.id)
        if spelled != token.text:
            raise NetworkConfigError(
                f"{folder}: token {token.id} is {spelled!r}, where the protocol needs "
                f"{token.text!r}; is this Covo-Audio-Chat?"
            )
    system = SystemPrompt(read_system_prompt(folder).persona, line)
    block = ChatPrompt(tokenizer).system(system.text(speaker))
    profile = replace(profile, prompt=(*block, *tokenizer.encode("\n")))
    profile.check(config)
    return profile
