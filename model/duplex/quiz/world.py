"""The quiz's network: its sizes, its vocabulary and its duplex profile."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from model.covo.config.network_config import CovoConfig
from model.duplex.protocol.profile import (
    ContextProfile,
    DuplexProfile,
    StreamingEncoderProfile,
)
from model.duplex.quiz.questions import NUMBERS
from model.duplex.tones.world import SETTINGS, tones_profile, write_network

_WINDOW_S = 4
"""What the half-duplex encoder hears at once: Whisper's 30 s, scaled down."""

_CONTROL = {
    **{"user": 17, "assistant": 18, "<begin>": 19},
    **{"<end>": 25, "\n": 26, "<audio>": 27, "<audio_begin>": 28, "<audio_end>": 29},
    **{"half": 30, "full": 31},  # the last line of either system prompt
}
VOCABULARY = {**{word: number for number, word in enumerate(NUMBERS)}, **_CONTROL}


def quiz_profile(config: CovoConfig) -> DuplexProfile:
    """Return the profile of the tones, with the memory of a longer dialogue."""
    return replace(
        tones_profile(config),
        text_vocabulary=len(NUMBERS),
        prompt=tuple(VOCABULARY[token] for token in ("<begin>", "full", "<end>")),
        encoder=StreamingEncoderProfile(
            look_back=64, position_period=config.encoder.positions, mel_floor=-5.0
        ),
        context=ContextProfile(window=384, evict=96),
    )


def write_blank(folder: Path, seed: int = 0) -> None:
    """Write the network with random weights into ``folder``, creating it."""
    encoder = {**SETTINGS["encoder_config"], "max_source_positions": 50 * _WINDOW_S}
    settings = {**SETTINGS, "encoder_config": encoder}
    write_network(folder, settings, quiz_profile, VOCABULARY, seed)
