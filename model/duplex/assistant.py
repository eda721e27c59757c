"""All that answers in full duplex, in memory (:mod:`model.duplex.assemble` loads it)."""

from __future__ import annotations

from dataclasses import dataclass
from math import ceil
from typing import Any

from tokenizers import Tokenizer

from model.duplex.network.loop import DuplexLoop, LoopState
from model.duplex.network.network import ReplyTextStream
from model.duplex.network.speech import SpeechDecoder, SpokenState, speak

_SETTLED = 3.2
"""Seconds of a reply behind which more of it costs no more: token2wav's window, and a chunk."""


@dataclass(frozen=True, slots=True)
class DuplexAssistant:
    """The loop, what speaks its codes, and what spells its text."""

    loop: DuplexLoop
    speech: SpeechDecoder[Any]
    tokenizer: Tokenizer

    def text_stream(self) -> ReplyTextStream:
        """For one reply."""
        return ReplyTextStream(self.tokenizer)

    def warm_up(self) -> LoopState:
        """Run everything once, and throw it away; return the state before a conversation, whose
        every step is as fast as the later ones."""
        profile = self.loop.profile
        spoken: SpokenState[Any] = SpokenState()
        codes = [0] * profile.codes_per_chunk
        # On a GPU each length of what is behind a chunk loads kernels of its own.
        on_gpu = self.loop.network.device.type == "cuda"
        for _ in range(ceil(_SETTLED * profile.code_rate / len(codes)) if on_gpu else 1):
            _, spoken = speak(self.speech, spoken, codes, profile.code_rate, last=False)
        speak(self.speech, spoken, (), profile.code_rate, last=True)
        return self.loop.warm_up()
