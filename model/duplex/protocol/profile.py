"""The duplex profile: the protocol a full-duplex checkpoint was trained with.

The Covo-Audio report gives an outline: chunks of 0.16 s, one user feature to one text anchor and
four speech tokens, THINK, SHIFT and BREAK. It leaves order, spellings, fillers and rates open.
These are data beside the weights (``duplex.json``), so networks trained with other choices run on
the same code. A checkpoint with that file is a full-duplex one. Imports no torch.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import Annotated

import msgspec
from msgspec import Meta

from audio_io.clock import USER_RATE
from model.covo.config.network_config import CovoConfig
from model.errors import NetworkConfigError
from voices import strict_reader

FILE = "duplex.json"
FORMAT = 1

ENCODER_FRAME = 320
"""User samples in one frame of Whisper's encoder (20 ms, 50 Hz)."""


class Slot(StrEnum):
    """A place in a chunk: for a feature of the user's audio, a text token or a speech token."""

    USER = "user"
    TEXT = "text"
    SPEECH = "speech"


class ListeningSpeech(StrEnum):
    """Whether speech slots are left out or filled while the assistant listens."""

    SKIP = "skip"
    FILL = "fill"


class Speech(StrEnum):
    """What turns codes into sound: Covo-Audio's token2wav, or the tones of synthetic data."""

    TOKEN2WAV = "token2wav"
    TONES = "tones"


class TextTiming(StrEnum):
    """Whether a reply's text comes as early as its slots allow, or not before it is spoken."""

    AHEAD = "ahead"
    ALIGNED = "aligned"


@dataclass(frozen=True, slots=True)
class Token:
    """A token of the protocol: its ``id``, and its spelling in the tokenizer."""

    id: Annotated[int, Meta(ge=0)]
    text: str


class DuplexTokens(msgspec.Struct, frozen=True, rename={"stop": "break"}):
    """BREAK (stop speaking), THINK (listen), SHIFT (begin to speak), and two fillers.

    The fillers fill a text slot without text and a speech slot without speech. The speech filler
    may be a speech code.
    """

    stop: Token
    think: Token
    shift: Token
    text_filler: Token
    speech_filler: Token

    @property
    def all(self) -> tuple[Token, ...]:
        """All five tokens."""
        return (self.think, self.shift, self.stop, self.text_filler, self.speech_filler)


@dataclass(frozen=True, slots=True)
class StreamingEncoderProfile:
    """How Whisper's encoder runs on an endless stream.

    A frame attends to its own chunk and the ``look_back`` frames (20 ms) before it. Positions count
    modulo ``position_period`` frames. Log-mels are floored at ``mel_floor`` (log10 of power):
    Whisper's floor, 8 below a segment's maximum, is only known when the segment ends.
    """

    look_back: Annotated[int, Meta(ge=0)]
    position_period: Annotated[int, Meta(ge=1)]
    mel_floor: float


@dataclass(frozen=True, slots=True)
class ContextProfile:
    """The language model's memory: the prompt and up to ``window`` more tokens.

    When the window is full, the oldest ``evict`` tokens are forgotten.
    """

    window: int
    evict: int


@dataclass(frozen=True, slots=True)
class LoopSampling:
    """How a token is chosen. ``temperature`` 0: greedily. ``top_k`` 0: from all tokens."""

    temperature: Annotated[float, Meta(ge=0)]
    top_k: Annotated[int, Meta(ge=0)]


@dataclass(frozen=True, slots=True)
class SamplingProfile:
    """Sampling by slot: ``state`` (begin or not), ``text`` (stopping included), ``speech``."""

    state: LoopSampling
    text: LoopSampling
    speech: LoopSampling


@dataclass(frozen=True, slots=True)
class DuplexProfile:
    """One checkpoint's protocol. Raises: ValueError if it contradicts itself.

    Args:
        chunk_ms: length of a chunk in ms.
        layout: the order of the slots in a chunk.
        lead: chunks from SHIFT's to the first that may hold speech.
        shift_bias, stop_bias: added to the logits of SHIFT and of BREAK when the loop chooses.
            Training weighs both above what they are chosen against; calibration takes that back.
        speech: what turns codes into sound.
        text_vocabulary: ids below it are text.
        prompt: ids before the first chunk, which are never forgotten.
    """

    chunk_ms: int
    layout: tuple[Slot, ...]
    listening_speech: ListeningSpeech
    text_timing: TextTiming
    lead: Annotated[int, Meta(ge=0)]
    shift_bias: float
    stop_bias: float
    speech: Speech
    text_vocabulary: Annotated[int, Meta(ge=1)]
    tokens: DuplexTokens
    prompt: tuple[Annotated[int, Meta(ge=0)], ...]
    encoder: StreamingEncoderProfile
    context: ContextProfile
    sampling: SamplingProfile

    def __post_init__(self) -> None:
        frames = self.encoder_frames
        if self.chunk_samples != frames * ENCODER_FRAME or frames < 1:
            raise ValueError(f"chunk_ms must be a positive multiple of 20, not {self.chunk_ms}")
        for slot in Slot:
            if slot not in self.layout:
                raise ValueError(f"layout has no {slot} slot")
        if self.layout.index(Slot.TEXT) > self.layout.index(Slot.SPEECH):
            raise ValueError("layout must have a text slot before the first speech slot")
        if self.layout[0] is not Slot.USER and not self.prompt:
            raise ValueError("layout must begin with a user slot unless there is a prompt")
        if frames % self.features_per_chunk:
            raise ValueError(
                f"layout divides {frames} encoder frames unevenly among "
                f"{self.features_per_chunk} user slots"
            )
        chunk, context = len(self.layout), self.context
        if not chunk <= context.evict <= context.window - 2 * chunk:
            raise ValueError(
                f"context.evict must be at least {chunk} (one chunk) and leave {2 * chunk} of the "
                f"window of {context.window}, so it cannot be {context.evict}"
            )
        ids = [token.id for token in self.tokens.all]
        if len(set(ids)) < len(ids):
            raise ValueError(f"two tokens have the same id: {ids}")
        if shared := [token for token in self.tokens.all if token.id < self.text_vocabulary]:
            raise ValueError(
                f"the token {shared[0].text!r} has id {shared[0].id}, which is text (ids below "
                f"{self.text_vocabulary})"
            )

    @property
    def chunk_samples(self) -> int:
        """User samples (16 kHz) in a chunk."""
        return self.chunk_ms * USER_RATE // 1000

    @property
    def cache_tokens(self) -> int:
        """Tokens that the language model's cache holds."""
        return len(self.prompt) + self.context.window

    @property
    def encoder_frames(self) -> int:
        """Encoder frames (20 ms) in a chunk."""
        return self.chunk_samples // ENCODER_FRAME

    @property
    def features_per_chunk(self) -> int:
        """User slots in a chunk."""
        return self.layout.count(Slot.USER)

    @property
    def text_per_chunk(self) -> int:
        """Text slots in a chunk."""
        return self.layout.count(Slot.TEXT)

    @property
    def codes_per_chunk(self) -> int:
        """Speech slots in a chunk."""
        return self.layout.count(Slot.SPEECH)

    @property
    def code_rate(self) -> float:
        """Speech tokens per second."""
        return self.codes_per_chunk * 1000 / self.chunk_ms

    def check(self, config: CovoConfig) -> None:
        """Raises: NetworkConfigError if a network of ``config`` cannot run this profile."""
        stride = 2**config.adapter_stages
        if self.encoder_frames != self.features_per_chunk * stride:
            raise NetworkConfigError(
                f"the adapter makes {self.encoder_frames / stride:g} features of a chunk of "
                f"{self.chunk_ms} ms, but the layout has {self.features_per_chunk} user slots"
            )
        if self.encoder.position_period > config.encoder.positions:
            raise NetworkConfigError(
                f"position_period is {self.encoder.position_period}, but the encoder has only "
                f"{config.encoder.positions} positions"
            )
        if self.text_vocabulary > config.first_audio_token:
            raise NetworkConfigError(
                f"text_vocabulary is {self.text_vocabulary}, but speech begins at id "
                f"{config.first_audio_token}"
            )
        for token in self.tokens.all:
            speech = token is self.tokens.speech_filler
            limit = config.backbone.vocabulary if speech else config.first_audio_token
            if token.id >= limit or token.id == config.placeholder:
                raise NetworkConfigError(
                    f"the duplex token {token.text!r} cannot have id {token.id}: it must be below "
                    f"{limit} and not the audio placeholder {config.placeholder}"
                )
        if wrong := [i for i in self.prompt if i >= config.first_audio_token]:
            raise NetworkConfigError(f"the duplex prompt has id {wrong[0]}, which is not text")


def default_profile(config: CovoConfig) -> DuplexProfile:
    """Return our choices for a Covo-Audio network with the published vocabulary.

    The public tokenizer has no duplex tokens, so these are Qwen's vision and completion tokens,
    which a network that only hears and speaks has never used. docs/duplex.md has the reasons.
    """
    first, greedy = config.first_audio_token, LoopSampling(0.0, 0)
    return DuplexProfile(
        chunk_ms=160,
        layout=(Slot.USER, Slot.TEXT, *(Slot.SPEECH,) * 4),
        listening_speech=ListeningSpeech.SKIP,
        text_timing=TextTiming.AHEAD,
        lead=1,
        shift_bias=0.0,
        stop_bias=0.0,
        speech=Speech.TOKEN2WAV,
        text_vocabulary=first - 28,
        tokens=DuplexTokens(
            think=Token(first - 19, "<|vision_start|>"),
            shift=Token(first - 18, "<|vision_end|>"),
            stop=Token(first - 17, "<|vision_pad|>"),
            text_filler=Token(first - 9, "<|fim_pad|>"),
            speech_filler=Token(first - 16, "<|image_pad|>"),
        ),
        prompt=(),
        encoder=StreamingEncoderProfile(look_back=256, position_period=1500, mel_floor=-7.0),
        context=ContextProfile(window=4096, evict=512),
        sampling=SamplingProfile(greedy, greedy, speech=LoopSampling(0.8, 50)),
    )


def read_profile(folder: Path) -> DuplexProfile:
    """Read the profile of the checkpoint in ``folder``.

    Raises: NetworkConfigError, also for a half-duplex checkpoint.
    """
    if not folder.is_dir():
        raise NetworkConfigError(f"no folder {folder}; --model must name a checkpoint's folder")
    if not (folder / FILE).is_file():
        raise NetworkConfigError(
            f"{folder} is a half-duplex checkpoint: it has no {FILE}; use --engine covo"
        )
    return strict_reader.read(
        folder / FILE,
        DuplexProfile,
        NetworkConfigError,
        remedy=f"restore the {FILE} that came with the weights",
        format=FORMAT,
    )


def profile_text(profile: DuplexProfile) -> str:
    """Return the text of ``duplex.json``, for :func:`read_profile`."""
    return json.dumps({"format": FORMAT, **msgspec.to_builtins(profile)}, indent=2) + "\n"


def write_profile(profile: DuplexProfile, folder: Path) -> None:
    """Write ``profile`` beside the weights in ``folder``."""
    (folder / FILE).write_text(profile_text(profile), encoding="utf-8")


def require_half_duplex(folder: Path) -> None:
    """Raises: NetworkConfigError if ``folder`` holds a full-duplex checkpoint."""
    if (folder / FILE).is_file():
        raise NetworkConfigError(
            f"{folder} is a full-duplex checkpoint: it has a {FILE}; use --engine covo-fd"
        )
