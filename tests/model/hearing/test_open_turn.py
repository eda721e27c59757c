"""The level of a turn's speech."""

from __future__ import annotations

import numpy as np
import pytest

from audio_io.clock import FRAME
from audio_io.levels import from_db
from model.hearing.open_turn import OpenTurn


def frames(count: int, level: float) -> list[np.ndarray]:
    """So many frames at ``level`` dBFS."""
    return [np.full(FRAME, from_db(level), np.float32)] * count


def turn(*speech: tuple[int, float]) -> OpenTurn:
    """A turn of so many frames at each level, after a silence."""
    spoken = OpenTurn(1, 0, 0, frames=frames(10, -90.0))
    for count, level in speech:
        for frame in frames(count, level):
            spoken.add(frame, voiced=True, last_speech=0)
    return spoken


def test_the_level_is_that_of_the_louder_half():
    assert turn((50, -26.0), (50, -40.0)).level() == pytest.approx(-26.0, abs=0.01)


def test_a_single_loud_sound_does_not_lift_it_by_much():
    assert turn((100, -26.0), (2, -14.0)).level() == pytest.approx(-26.0, abs=2.0)


def test_silence_does_not_count():
    spoken = turn((50, -26.0))
    for frame in frames(200, -90.0):
        spoken.add(frame, voiced=False, last_speech=0)
    assert spoken.level() == pytest.approx(-26.0, abs=0.01)
    assert turn().level() is None


def test_the_newest_speech_has_a_level_of_its_own():
    spoken = turn((50, -26.0), (20, -38.0))
    assert spoken.level(last=20 * FRAME) == pytest.approx(-38.0, abs=0.01)
    assert spoken.level(last=1000 * FRAME) == spoken.level()


def test_a_turn_begins_with_the_speech_that_was_heard_before_it_was_one():
    begun = OpenTurn(1, 0, 0, frames=[*frames(10, -90.0), *frames(4, -30.0)], voiced=4 * FRAME)
    assert begun.voiced == 4 * FRAME
    assert begun.level() == pytest.approx(-30.0, abs=0.01)


def test_the_longest_pause_lies_between_two_parts_of_the_speech():
    spoken, now = turn(), 0
    for count, voiced in ((10, True), (30, False), (10, True), (20, False), (5, True), (90, False)):
        for frame in frames(count, -26.0):
            now += FRAME
            spoken.add(frame, voiced, last_speech=now if voiced else spoken.end_of_speech)
    assert spoken.longest_pause == 30 * FRAME


@pytest.mark.parametrize("noise", [-90.0, -50.0, -36.0])
def test_speech_is_so_much_louder_than_the_noise_around_it(noise):
    spoken = OpenTurn(1, 0, 0, frames=frames(25, noise))
    for frame in frames(100, -26.0):
        spoken.add(frame, voiced=True, last_speech=0)
    assert spoken.above_noise() == pytest.approx(-26.0 - noise, abs=0.1)
    assert OpenTurn(1, 0, 0, frames=frames(25, noise)).above_noise() == 0
