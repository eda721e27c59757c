"""What is said to the assistant in measurements, by a voice other than its own."""

from __future__ import annotations

from collections.abc import Sequence
from importlib import resources

import numpy as np

from audio_io.clock import ASSISTANT_RATE, USER_RATE
from audio_io.levels import at_level
from audio_io.resample import resample
from audio_io.signal import Audio
from covo_cli.simulation.scripted_user import Line
from model.lite.synthesizer import Synthesizer

PERSON_DB = -26.0
"""Level of a person at a microphone, in dBFS."""


def questions() -> list[str]:
    """Return everyday questions in no particular order."""
    file = resources.files("covo_cli.bench") / "questions.txt"
    return file.read_text(encoding="utf-8").splitlines()


def rendered(text: str, voice: Synthesizer) -> Audio:
    """Return ``text`` as ``voice`` says it: float32 mono 16 kHz."""
    return resample(np.concatenate(list(voice.stream(text))), ASSISTANT_RATE, USER_RATE)


def spoken(text: str, voice: Synthesizer) -> Audio:
    """Return ``text`` as a person at a microphone says it: float32 mono 16 kHz."""
    return at_level(rendered(text, voice), PERSON_DB)


def as_lines(texts: Sequence[str], voice: Synthesizer) -> list[Line]:
    """Return ``texts`` as lines of a scripted user."""
    return [Line(spoken(text, voice), text) for text in texts]
