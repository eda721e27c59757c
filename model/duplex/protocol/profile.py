"""The duplex profile: what a full-duplex checkpoint says about itself.

The Covo-Audio report gives the outline (chunks of 0.16 s, one feature of the user to a text anchor
and four speech tokens, THINK, SHIFT and BREAK); order, spellings, fillers and rates are open. Here
they are data beside the weights (:mod:`model.duplex.protocol.profile_file`), so that a network
which was trained with other choices runs without other code. No torch here.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import StrEnum

from audio_io.clock import USER_RATE
from model.covo.config.config import CovoConfig
from model.errors import NetworkConfigError

ENCODER_FRAME = 320
"""User samples in one frame of Whisper's encoder (20 ms, 50 Hz)."""


class Slot(StrEnum):
    """One place in a chunk: a feature of the user's audio, a text token or a speech token."""

    USER = "user"
    TEXT = "text"
    SPEECH = "speech"


class ListeningSpeech(StrEnum):
    """What the speech slots hold while the assistant listens: they are left out, or filled."""

    SKIP = "skip"
    FILL = "fill"


class Speech(StrEnum):
    """What speaks the codes: Covo-Audio's token2wav, or the tones of synthetic data."""

    TOKEN2WAV = "token2wav"
    TONES = "tones"


class TextTiming(StrEnum):
    """When a reply's text comes: as early as its slots allow, or not before it is spoken."""

    AHEAD = "ahead"
    ALIGNED = "aligned"


@dataclass(frozen=True, slots=True)
class Token:
    """A token of the protocol: its ``id``, and how the tokenizer spells it."""

    id: int
    text: str


@dataclass(frozen=True, slots=True)
class DuplexTokens:
    """THINK (listening), SHIFT (begin to speak), BREAK (stop), and the two fillers: for a text
    slot without text and a speech slot without speech. The speech filler may be a speech code."""

    think: Token
    shift: Token
    stop: Token
    text_filler: Token
    speech_filler: Token

    @property
    def all(self) -> tuple[Token, ...]:
        """All five."""
        return (self.think, self.shift, self.stop, self.text_filler, self.speech_filler)


@dataclass(frozen=True, slots=True)
class StreamingEncoderProfile:
    """How Whisper's encoder hears without an end.

    A frame attends to its own chunk and to ``look_back`` frames (20 ms) before it. Positions count
    modulo ``position_period`` frames. Log-mels are floored at ``mel_floor`` (log10 of power), where
    Whisper floors at 8 below a segment's maximum, which cannot be known in time.
    """

    look_back: int = 256
    position_period: int = 1500
    mel_floor: float = -7.0


@dataclass(frozen=True, slots=True)
class ContextProfile:
    """The language model's memory: the prompt, and of the rest at most ``window`` tokens. When
    they are reached, the oldest ``evict`` are forgotten."""

    window: int = 4096
    evict: int = 512


@dataclass(frozen=True, slots=True)
class Sampling:
    """How a token is chosen. ``temperature`` 0: the likeliest. ``top_k`` 0: among all."""

    temperature: float = 0.0
    top_k: int = 0


@dataclass(frozen=True, slots=True)
class SamplingProfile:
    """By kind of slot: ``state`` (whether to begin), ``text`` (and whether to stop), ``speech``."""

    state: Sampling = Sampling()
    text: Sampling = Sampling()
    speech: Sampling = Sampling(0.8, 50)


DEFAULT_LAYOUT = (Slot.USER, Slot.TEXT, *(Slot.SPEECH,) * 4)


@dataclass(frozen=True, slots=True)
class DuplexProfile:
    """One checkpoint's protocol (see the module's docstring).

    ``layout`` is the order of the slots in a chunk of ``chunk_ms`` ms. ``text_vocabulary``: ids
    below it are text. ``lead``: chunks from SHIFT's own to the first that may hold speech.
    ``speech``: what speaks the codes. ``prompt``: the ids before the first chunk, which are never
    forgotten.
    """

    tokens: DuplexTokens
    text_vocabulary: int
    chunk_ms: int = 160
    layout: tuple[Slot, ...] = DEFAULT_LAYOUT
    listening_speech: ListeningSpeech = ListeningSpeech.SKIP
    text_timing: TextTiming = TextTiming.AHEAD
    lead: int = 1
    speech: Speech = Speech.TOKEN2WAV
    prompt: tuple[int, ...] = ()
    encoder: StreamingEncoderProfile = field(default_factory=StreamingEncoderProfile)
    context: ContextProfile = field(default_factory=ContextProfile)
    sampling: SamplingProfile = field(default_factory=SamplingProfile)

    def __post_init__(self) -> None:
        frames = self.encoder_frames
        if self.chunk_samples != frames * ENCODER_FRAME or not frames:
            raise NetworkConfigError(
                f"a duplex chunk must be a multiple of 20 ms, not {self.chunk_ms} ms"
            )
        for slot in Slot:
            if slot not in self.layout:
                raise NetworkConfigError(f"the layout of a duplex chunk has no {slot} slot")
        if self.layout.index(Slot.TEXT) > self.layout.index(Slot.SPEECH):
            raise NetworkConfigError(
                "a duplex chunk's first text slot tells the turn: it must stand before the speech"
            )
        if self.layout[0] is not Slot.USER and not self.prompt:
            raise NetworkConfigError(
                "a duplex dialogue must begin with something to follow: give it a prompt, or a "
                "layout that begins with a user slot"
            )
        encoder, context = self.encoder, self.context
        if encoder.look_back < 0 or encoder.position_period < 1 or self.lead < 0:
            raise NetworkConfigError(
                "look_back and lead cannot be negative, and position_period begins at 1"
            )
        if frames % self.features_per_chunk:
            raise NetworkConfigError(
                f"{self.features_per_chunk} user features do not share {frames} encoder frames "
                "evenly"
            )
        chunk = self.tokens_per_chunk
        if not chunk <= context.evict <= context.window - 2 * chunk:
            raise NetworkConfigError(
                f"the context must evict at least one chunk ({chunk} tokens) and keep at least "
                f"two: evict {context.evict} of a window of {context.window} cannot"
            )
        ids = [token.id for token in self.tokens.all]
        if len(set(ids)) < len(ids):
            raise NetworkConfigError(f"two duplex tokens have the same id: {ids}")
        if shared := [token for token in self.tokens.all if token.id < self.text_vocabulary]:
            raise NetworkConfigError(
                f"the duplex token {shared[0].text!r} has id {shared[0].id}, which is text (ids "
                f"below {self.text_vocabulary})"
            )

    @property
    def chunk_samples(self) -> int:
        """User samples (16 kHz) in a chunk."""
        return self.chunk_ms * USER_RATE // 1000

    @property
    def encoder_frames(self) -> int:
        """Frames of the encoder (20 ms) in a chunk."""
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
    def tokens_per_chunk(self) -> int:
        """All slots of a chunk."""
        return len(self.layout)

    @property
    def code_rate(self) -> float:
        """Speech tokens per second."""
        return self.codes_per_chunk * 1000 / self.chunk_ms

    def check(self, config: CovoConfig) -> None:
        """Raises: NetworkConfigError when this is not a profile for a network of ``config``."""
        stride = 2**config.adapter_stages
        if self.encoder_frames != self.features_per_chunk * stride:
            raise NetworkConfigError(
                f"a chunk of {self.chunk_ms} ms has {self.encoder_frames} encoder frames, of which "
                f"the adapter makes {self.encoder_frames / stride:g} features; the layout has "
                f"{self.features_per_chunk} user slots"
            )
        if self.encoder.position_period > config.encoder.positions:
            raise NetworkConfigError(
                f"position_period is {self.encoder.position_period}, but the encoder has "
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
    """Our choices for a Covo-Audio network in its published vocabulary.

    The public tokenizer has no duplex tokens. These are Qwen's vision and completion tokens, which
    a network that only hears and speaks has never used. Reasons: docs/duplex.md.
    """
    first = config.first_audio_token
    return DuplexProfile(
        tokens=DuplexTokens(
            think=Token(first - 19, "<|vision_start|>"),
            shift=Token(first - 18, "<|vision_end|>"),
            stop=Token(first - 17, "<|vision_pad|>"),
            text_filler=Token(first - 9, "<|fim_pad|>"),
            speech_filler=Token(first - 16, "<|image_pad|>"),
        ),
        text_vocabulary=first - 28,
    )
