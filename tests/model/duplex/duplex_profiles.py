"""Duplex profiles of several rates and orders, on a network too small to need weights."""

from __future__ import annotations

from dataclasses import replace

import msgspec

from model.covo.config.network_config import BackboneConfig, CovoConfig, EncoderConfig
from model.duplex.protocol.grammar import Grammar
from model.duplex.protocol.profile import (
    ContextProfile,
    DuplexProfile,
    DuplexTokens,
    ListeningSpeech,
    Slot,
    StreamingEncoderProfile,
    TextTiming,
    Token,
    default_profile,
)

FIRST_CODE = 64
CODEBOOK = 32
THINK, SHIFT, BREAK, TEXT_FILLER, SPEECH_FILLER = range(50, 55)
TEXT = 40

U, T, S = Slot.USER, Slot.TEXT, Slot.SPEECH


def config(stages: int = 3) -> CovoConfig:
    return CovoConfig(
        backbone=BackboneConfig(
            vocabulary=FIRST_CODE + CODEBOOK,
            hidden=32,
            layers=2,
            heads=4,
            kv_heads=2,
            ffn=64,
            max_positions=4096,
            norm_eps=1e-6,
            rope_theta=10_000.0,
            dtype="float32",
        ),
        encoder=EncoderConfig(
            hidden=32,
            layers=2,
            heads=2,
            ffn=64,
            mels=16,
            positions=100,
            scale_embedding=False,
        ),
        adapter_stages=stages,
        adapter_inner=32,
        first_audio_token=FIRST_CODE,
    )


def profile(**changes) -> DuplexProfile:
    """160 ms, one feature, one text token and four codes, unless changed."""
    plain = replace(
        default_profile(config()),
        tokens=DuplexTokens(
            think=Token(THINK, "<think>"),
            shift=Token(SHIFT, "<shift>"),
            stop=Token(BREAK, "<break>"),
            text_filler=Token(TEXT_FILLER, "<text filler>"),
            speech_filler=Token(SPEECH_FILLER, "<speech filler>"),
        ),
        text_vocabulary=TEXT,
        lead=0,
        encoder=StreamingEncoderProfile(look_back=24, position_period=80, mel_floor=-7.0),
        context=ContextProfile(window=120, evict=30),
        prompt=(1, 2, 3),
    )
    return replace(plain, **changes)


FILLED = ListeningSpeech.FILL
ALIGNED = TextTiming.ALIGNED
SILENCE_CODE = msgspec.structs.replace(
    profile().tokens, speech_filler=Token(FIRST_CODE + 31, "silence")
)

PROFILES = {
    "default": (profile(), 3),
    "filled": (profile(listening_speech=FILLED), 3),
    "a code is silence": (profile(listening_speech=FILLED, tokens=SILENCE_CODE), 3),
    "aligned, with a lead": (profile(text_timing=ALIGNED, lead=1), 3),
    "320 ms": (profile(chunk_ms=320, layout=(U, U, T, T, *[S] * 8)), 3),
    "features of 12.5 Hz": (profile(layout=(U, T, S, S, U, T, S, S), text_timing=ALIGNED), 2),
    "codes of 12.5 Hz": (profile(layout=(T, S, S, U), lead=2, listening_speech=FILLED), 3),
    "80 ms": (profile(chunk_ms=80, layout=(U, T, S, S)), 2),
}
"""By name: the profile, and the adapter stages of the network that it fits."""


def grammar(name: str) -> Grammar:
    one, stages = PROFILES[name]
    return Grammar(one, config(stages))
