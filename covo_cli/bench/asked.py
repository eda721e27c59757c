"""Questions asked aloud by a voice that is not the assistant's."""

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

PERSON_DBFS = -26.0
"""Level of a person at a microphone."""


def questions() -> list[str]:
    """Everyday questions, one after the other in no particular order."""
    file = resources.files("covo_cli.bench") / "questions.txt"
    return file.read_text(encoding="utf-8").splitlines()


def spoken(text: str, voice: Synthesizer) -> Audio:
    """``text`` as a person says it: float32 mono 16 kHz."""
    sound = np.concatenate(list(voice.stream(text)))
    return at_level(resample(sound, ASSISTANT_RATE, USER_RATE), PERSON_DBFS)


def as_lines(texts: Sequence[str], voice: Synthesizer) -> list[Line]:
    """Each text as a line of a scripted user."""
    return [Line(spoken(text, voice), text) for text in texts]
