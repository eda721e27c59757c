"""The user's profile: when it is known, and whose voice is clearly another's."""

from __future__ import annotations

import numpy as np
import pytest

from audio_io.clock import samples
from model.hearing.identity.profile import (
    LONG_ENOUGH_S,
    PER_DB,
    QUIET_DB,
    REMEMBERED_S,
    THRESHOLDS,
    Embedding,
    SpeakerProfile,
    Whose,
    threshold,
)


def voice_at(likeness: float) -> Embedding:
    """A voice of this likeness to :data:`USER`."""
    return np.array([likeness, np.sqrt(1 - likeness**2)], np.float32)


USER = voice_at(1.0)


def speech(seconds: float) -> np.ndarray:
    return np.ones(samples(seconds), np.float32)


def test_a_profile_is_made_of_the_first_seconds_of_speech() -> None:
    profile = SpeakerProfile()
    assert profile.learn(speech(1.5), 40.0) is None
    assert profile.learn(speech(1.4), 40.0) is None
    first = profile.learn(speech(0.3), 40.0)
    assert first is not None
    assert len(first) == samples(3.2)
    filled = profile.learn(speech(9.0), 40.0)
    assert filled is not None
    assert len(filled) == samples(4.0)
    assert profile.learn(speech(1.0), 40.0) is None


def test_hardly_more_speech_is_not_embedded_again() -> None:
    profile = SpeakerProfile()
    assert profile.learn(speech(3.3), 40.0) is not None
    assert profile.learn(speech(9.0), 40.0) is None


def test_nobody_is_somebody_else_while_the_user_is_unknown() -> None:
    assert SpeakerProfile().whose(voice_at(-1.0), 2.0, QUIET_DB) is Whose.USER


@pytest.mark.parametrize(("length", "least"), THRESHOLDS)
def test_a_voice_below_the_threshold_is_somebody_elses(length: float, least: float) -> None:
    profile = SpeakerProfile()
    profile.voice = USER
    enough = Whose.USER if length >= LONG_ENOUGH_S else Whose.UNCLEAR
    assert profile.whose(voice_at(least - 0.01), length, QUIET_DB) is Whose.OTHER
    assert profile.whose(voice_at(least + 0.01), length, QUIET_DB) is enough


def test_what_would_do_for_any_length_is_surely_the_users() -> None:
    profile = SpeakerProfile()
    profile.voice = USER
    assert profile.whose(voice_at(threshold(9.0, QUIET_DB) + 0.01), 0.8, QUIET_DB) is Whose.USER


def test_what_all_voices_have_in_common_does_not_make_two_alike() -> None:
    middle = np.array([0.0, 0.0, 3.0], np.float32)
    user, stranger = (np.array([x, y, 3.0], np.float32) / np.sqrt(10) for x, y in ((1, 0), (0, 1)))
    profile = SpeakerProfile()
    profile.voice = user
    assert profile.whose(stranger, 9.0, QUIET_DB) is Whose.USER
    assert profile.likeness(stranger) == pytest.approx(0.9)
    profile = SpeakerProfile(middle / np.sqrt(10))
    profile.voice = user
    assert profile.whose(stranger, 9.0, QUIET_DB) is Whose.OTHER
    assert profile.likeness(stranger) == pytest.approx(0.0, abs=1e-6)
    assert profile.likeness(user) == pytest.approx(1.0)


def test_more_is_asked_of_longer_speech() -> None:
    asked = [
        threshold(length, QUIET_DB) for length in (0.5, 0.8, 1.0, 1.5, 1.8, LONG_ENOUGH_S, 10.0)
    ]
    assert asked == sorted(asked)
    assert asked[0] == asked[1]
    assert asked[-1] == asked[-2]


def test_less_is_asked_in_noise_of_the_profile_or_of_the_speech() -> None:
    noisy_db = QUIET_DB - 10
    assert threshold(2.0, 60.0) == threshold(2.0, QUIET_DB)
    assert threshold(2.0, noisy_db) == pytest.approx(threshold(2.0, QUIET_DB) * (1 - 10 * PER_DB))
    assert threshold(2.0, -90.0) == 0
    quiet, noisy = SpeakerProfile(), SpeakerProfile()
    for profile, above_noise in ((quiet, 60.0), (noisy, noisy_db)):
        profile.learn(speech(3.0), above_noise)
        profile.voice = USER
    alike = voice_at(threshold(2.0, noisy_db) + 0.01)
    assert quiet.whose(alike, 2.0, 60.0) is Whose.OTHER
    assert quiet.whose(alike, 2.0, noisy_db) is Whose.UNCLEAR
    assert noisy.whose(alike, 2.0, 60.0) is Whose.UNCLEAR


@pytest.mark.parametrize(
    ("heard", "likeness", "whose"),
    [
        (REMEMBERED_S, 0.5, Whose.OTHER),
        (REMEMBERED_S, 0.61, Whose.USER),  # surely
        (REMEMBERED_S - 0.1, 0.5, Whose.UNCLEAR),  # too short to be remembered
    ],
)
def test_an_unclear_voice_is_the_one_remembered_as_somebody_elses(
    heard: float, likeness: float, whose: Whose
) -> None:
    profile = SpeakerProfile()
    profile.voice = USER
    profile.remember_other(voice_at(0.3), heard)
    assert profile.whose(voice_at(likeness), 1.0, QUIET_DB) is whose


def test_an_unclear_voice_is_not_one_that_it_is_less_like() -> None:
    profile = SpeakerProfile()
    profile.voice = USER
    profile.remember_other(voice_at(-0.6), 4.0)
    assert profile.whose(voice_at(0.5), 1.0, QUIET_DB) is Whose.UNCLEAR
