"""The user's profile: when it is known, and whose voice is clearly another's."""

from __future__ import annotations

import numpy as np
import pytest

from audio_io.clock import samples
from model.hearing.identity.profile import THRESHOLDS, Embedding, SpeakerProfile, threshold


def voice_at(likeness: float) -> Embedding:
    """A voice of this likeness to :data:`USER`."""
    return np.array([likeness, np.sqrt(1 - likeness**2)], np.float32)


USER = voice_at(1.0)


def speech(seconds: float) -> np.ndarray:
    return np.ones(samples(seconds), np.float32)


def test_a_profile_is_made_of_the_first_seconds_of_speech() -> None:
    profile = SpeakerProfile()
    assert profile.learn(speech(1.5)) is None
    assert profile.learn(speech(1.4)) is None
    first = profile.learn(speech(0.3))
    assert first is not None
    assert len(first) == samples(3.2)
    filled = profile.learn(speech(9.0))
    assert filled is not None
    assert len(filled) == samples(4.0)
    assert profile.learn(speech(1.0)) is None


def test_nobody_is_somebody_else_while_the_user_is_unknown() -> None:
    assert not SpeakerProfile().is_other(voice_at(-1.0), 2.0)


@pytest.mark.parametrize(("length", "least"), THRESHOLDS)
def test_a_voice_below_the_threshold_is_somebody_elses(length: float, least: float) -> None:
    profile = SpeakerProfile()
    profile.voice = USER
    assert profile.is_other(voice_at(least - 0.01), length)
    assert not profile.is_other(voice_at(least + 0.01), length)


def test_more_is_asked_of_longer_speech() -> None:
    asked = [threshold(length) for length in (0.5, 0.8, 1.0, 1.5, 1.8, 2.0, 10.0)]
    assert asked == sorted(asked)
    assert asked[0] == asked[1]
    assert asked[-1] == asked[-2]
