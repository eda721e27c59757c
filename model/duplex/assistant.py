"""All that answers in full duplex, loaded from one folder."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from tokenizers import Tokenizer
from tokenizers.decoders import DecodeStream

from model.covo.config import Token2WavConfig
from model.covo.loading import load_token2wav, load_voice_prompt
from model.covo.precision import Precision
from model.covo.speech_stream import SpeechStreamer
from model.covo.speech_worker import SpeechWorker
from model.duplex.loop import DuplexLoop, LoopState
from model.duplex.network import DuplexNetwork, load_duplex
from model.duplex.profile import DuplexProfile, Speech
from model.duplex.speech import SpeechDecoder, SpokenState, Token2WavSpeech, ToneSpeech, speak
from model.engine import Progress
from model.errors import NetworkConfigError

TOKENIZER = "tokenizer.json"
TOKEN2WAV = "token2wav"
VOICE = "prompt"


class TextStream:
    """Text of a reply as its tokens come. What was given out never changes."""

    def __init__(self, tokenizer: Tokenizer) -> None:
        self._tokenizer = tokenizer
        self._stream = DecodeStream(skip_special_tokens=True)

    def step(self, token: int) -> str:
        """What ``token`` adds; nothing while a character is not whole."""
        return self._stream.step(self._tokenizer, token) or ""


@dataclass(frozen=True, slots=True)
class DuplexAssistant:
    """The loop, what speaks its codes, and what spells its text."""

    loop: DuplexLoop
    speech: SpeechDecoder[Any]
    tokenizer: Tokenizer

    def text_stream(self) -> TextStream:
        """For one reply."""
        return TextStream(self.tokenizer)

    def warm_up(self) -> LoopState:
        """Run everything once, a chunk of listening and a chunk of speech; return the state before
        a conversation, whose every step is as fast as the later ones."""
        profile = self.loop.profile
        _, state = self.loop.step(self.loop.start(), np.zeros(profile.chunk_samples, np.float32))
        codes = [0] * profile.codes_per_chunk
        speak(self.speech, SpokenState(), codes, profile.code_rate, last=True)
        return self.loop.start(context=state.context)


def load_assistant(
    folder: Path,
    progress: Progress,
    *,
    device: torch.device | str = "cpu",
    precision: Precision | None = None,
) -> DuplexAssistant:
    """From ``folder``: the network, ``tokenizer.json`` and, unless the profile speaks in tones,
    ``token2wav`` with the voice's arrays in ``token2wav/prompt``.

    Raises: NetworkConfigError, WeightsError, NetworkInputError.
    """
    progress("loading the duplex network")
    network = load_duplex(folder, device=device, precision=precision)
    tokenizer = load_tokenizer(folder, network.profile)
    return DuplexAssistant(DuplexLoop(network), _speech(folder, network, progress), tokenizer)


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


def _speech(folder: Path, network: DuplexNetwork, progress: Progress) -> SpeechDecoder[Any]:
    profile = network.profile
    if profile.speech is Speech.TONES:
        return ToneSpeech(profile.code_rate)
    progress("loading token2wav")
    config = Token2WavConfig.read(folder / TOKEN2WAV / "config.json")
    if config.flow.codebook != network.grammar.codebook:
        raise NetworkConfigError(
            f"{folder / TOKEN2WAV} speaks {config.flow.codebook} codes, and the network has "
            f"{network.grammar.codebook}"
        )
    token2wav = load_token2wav(folder / TOKEN2WAV, device=network.device)
    voice = load_voice_prompt(folder / TOKEN2WAV / VOICE, config.flow)
    worker = SpeechWorker(SpeechStreamer(token2wav))
    return Token2WavSpeech(worker, voice, profile.codes_per_chunk)
