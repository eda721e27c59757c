"""The user's speech in measurements, in a voice other than the assistant's."""

from __future__ import annotations

from collections.abc import Sequence
from importlib import resources

import numpy as np

from audio_io.clock import ASSISTANT_RATE, USER_RATE
from audio_io.levels import at_level, span_of_sound
from audio_io.resample import resample
from audio_io.signal import Audio
from covo_cli.simulation.scripted_user import Line
from model.lite.synthesizer import Synthesizer

PERSON_DB = -26.0
"""Level of a person at the microphone, in dBFS."""


def questions() -> list[str]:
    """Return everyday questions."""
    file = resources.files("covo_cli.bench") / "questions.txt"
    return file.read_text(encoding="utf-8").splitlines()


def rendered(text: str, voice: Synthesizer) -> Audio:
    """Synthesise ``text``: float32 mono 16 kHz."""
    return resample(np.concatenate(list(voice.stream(text))), ASSISTANT_RATE, USER_RATE)


def spoken(text: str, voice: Synthesizer) -> Audio:
    """Synthesise ``text`` at a person's level: float32 mono 16 kHz."""
    return at_level(rendered(text, voice), PERSON_DB)


def trimmed(sound: Audio) -> Audio:
    """Return ``sound`` without the silence before and after it."""
    start, end = span_of_sound(sound)
    return sound[start:end]


def as_lines(texts: Sequence[str], voice: Synthesizer) -> list[Line]:
    """Convert ``texts`` to lines for a scripted user."""
    return [Line(spoken(text, voice), text) for text in texts]
