"""The measured networks and a turn to answer."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from math import ceil

import torch
from torch import Tensor

from covo_cli.bench.network.timing import DeviceClock
from model.covo.config.sizes import NetworkSize
from model.covo.language.decoder import Decoder
from model.covo.language.features import ENCODER_RATE, TurnFeatures, turn_features
from model.covo.language.network import CovoNetwork
from model.covo.loading.random_weights import random_network, random_token2wav, random_voice
from model.covo.memory.plan import (
    SYSTEM_TOKENS,
    USER_TOKENS_PER_SECOND,
    MemoryPlan,
    context_tokens,
)
from model.covo.speech.speech_stream import SpeechSettings, SpeechStreamer
from model.covo.speech.speech_worker import SpeechWorker
from model.covo.speech.token2wav import Token2Wav, VoicePrompt

TEXT_TOKENS, SPEECH_TOKENS = 5, 15
"""Tokens per group: the published network alternates text and speech."""
TURN_FRAME = 12
"""Tokens of a turn apart from its audio: block ends, roles, newlines."""


@dataclass(frozen=True, slots=True)
class Subject:
    """The loaded networks. ``turn_audio``: a turn of noise at 16 kHz."""

    size: NetworkSize
    plan: MemoryPlan
    clock: DeviceClock
    network: CovoNetwork
    token2wav: Token2Wav
    decoder: Decoder
    worker: SpeechWorker
    voice: VoicePrompt
    speech: SpeechSettings
    turn_audio: Tensor

    @property
    def device(self) -> torch.device:
        """The device of all networks."""
        return self.clock.device

    def features(self) -> TurnFeatures:
        """Compute the turn's features as in a conversation."""
        return turn_features(
            self.turn_audio,
            ENCODER_RATE,
            mels=self.size.covo.encoder.mels,
            device=self.device,
        )

    def turn_prompt(self, placeholders: int) -> Tensor:
        """Return a turn's ids: audio placeholders within text."""
        text = torch.arange(1, TURN_FRAME + 1)
        audio = torch.full((placeholders,), self.size.covo.placeholder)
        return torch.cat((text[: TURN_FRAME // 2], audio, text[TURN_FRAME // 2 :]))

    def prepare(self) -> None:
        """Truncate the history to the system prompt."""
        self.decoder.rewind(0)
        ids = torch.arange(SYSTEM_TOKENS) % self.size.covo.placeholder
        self.decoder.append(self.network.embed(ids))

    def reply_tokens(self, prompt: Tensor, codes: int) -> Iterator[tuple[int, bool]]:
        """Yield tokens and whether each is a speech code, up to ``codes`` codes. The alternation is
        forced, since random weights would not produce it."""
        first, vocabulary = self.size.covo.first_audio_token, self.size.covo.backbone.vocabulary
        speech = torch.arange(vocabulary, device=self.device) >= first
        text = ~speech
        left = codes
        while left:
            for token in self.decoder.generate(prompt, stop=(), limit=TEXT_TOKENS, allowed=text):
                yield token, False
            group = min(left, SPEECH_TOKENS)
            for token in self.decoder.generate(prompt, stop=(), limit=group, allowed=speech):
                yield token - first, True
            left -= group

    def held(self) -> int:
        """Return the bytes of all weights in memory."""
        both = (*self.network.parameters(), *self.token2wav.parameters())
        return sum(parameter.nbytes for parameter in both)

    def step_weights(self) -> int:
        """Return the bytes of weights per decode step: blocks, last norm and head."""
        model = self.network.llm.model
        parts = (*model.layers.parameters(), model.norm.weight, self.network.llm.lm_head.weight)
        return sum(parameter.nbytes for parameter in parts)


def tokens_needed(codes: int, turn_seconds: float) -> int:
    """Return the length of system prompt, turn and a reply of ``codes`` codes, in tokens."""
    groups = ceil(codes / SPEECH_TOKENS)
    turn = TURN_FRAME + ceil(turn_seconds * USER_TOKENS_PER_SECOND) + 1
    return SYSTEM_TOKENS + turn + codes + groups * TEXT_TOKENS


def build_subject(
    size: NetworkSize,
    plan: MemoryPlan,
    clock: DeviceClock,
    turn_seconds: float,
    progress: Callable[[str], None],
) -> Subject:
    """Fill the networks for ``plan`` on the clock's device and start counting memory.

    Raises: NetworkConfigError.
    """
    device, setting = clock.device, plan.setting
    clock.start_counting()
    progress(f"random weights, {plan.weights / 1e9:.2f} GB")
    network = random_network(size.covo, device=device, precision=setting.precision)
    token2wav = random_token2wav(size.token2wav, device=device, precision=setting.token2wav)
    decoder = Decoder(network, context_tokens(setting.minutes))
    progress("capturing the decoder's steps")
    decoder.warm_up()
    generator = torch.Generator().manual_seed(1)
    return Subject(
        size=size,
        plan=plan,
        clock=clock,
        network=network,
        token2wav=token2wav,
        decoder=decoder,
        worker=SpeechWorker(SpeechStreamer(token2wav)),
        voice=random_voice(size.token2wav.flow, size.voice_codes),
        speech=SpeechSettings(),
        turn_audio=0.1 * torch.randn(round(turn_seconds * ENCODER_RATE), generator=generator),
    )
