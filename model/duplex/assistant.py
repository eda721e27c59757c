"""The loaded parts of the full-duplex engine (:mod:`model.duplex.assemble` loads them)."""

from __future__ import annotations

from dataclasses import dataclass
from math import ceil
from typing import Any

from tokenizers import Tokenizer

from model.duplex.network.loop import DuplexLoop, LoopState
from model.duplex.network.network import ReplyTextStream
from model.duplex.network.speech import SpeechDecoder, SpokenState, speak

_SETTLED_S = 3.2
"""Reply length after which the cost per chunk is constant: token2wav's window plus one chunk."""


@dataclass(frozen=True, slots=True)
class DuplexAssistant:
    """The loop, the decoder of its codes, and the tokenizer of its text."""

    loop: DuplexLoop
    speech: SpeechDecoder[Any]
    tokenizer: Tokenizer

    def text_stream(self) -> ReplyTextStream:
        """Return a decoder for the text of one reply."""
        return ReplyTextStream(self.tokenizer)

    def warm_up(self) -> LoopState:
        """Run everything once, so that the first steps are as fast as later ones; return the state
        before a conversation."""
        profile = self.loop.profile
        spoken: SpokenState[Any] = SpokenState()
        codes = [0] * profile.codes_per_chunk
        # On a GPU each length of the reply so far loads its own kernels.
        on_gpu = self.loop.network.device.type == "cuda"
        for _ in range(ceil(_SETTLED_S * profile.code_rate / len(codes)) if on_gpu else 1):
            _, spoken = speak(self.speech, spoken, codes, profile.code_rate, last=False)
        speak(self.speech, spoken, (), profile.code_rate, last=True)
        return self.loop.warm_up()
