"""Telling the user from others by level."""

from __future__ import annotations

import numpy as np
import pytest

from audio_io.clock import FRAME
from audio_io.levels import from_db
from model.hearing.level_gate import LevelGate

RNG = np.random.default_rng(5)


def sound(seconds: float, level: float) -> list[np.ndarray]:
    """Frames of noise at an RMS of ``level`` dBFS."""
    frames = round(seconds * 50)
    noise = RNG.standard_normal((frames, FRAME)).astype(np.float32)
    return list(noise * np.float32(from_db(level)))


def share(gate: LevelGate, frames: list[np.ndarray], *, speech: bool = True) -> float:
    return float(np.mean([gate.passes(frame, speech) for frame in frames]))


def test_the_first_to_speak_is_the_user_however_quiet():
    assert share(LevelGate(), sound(1, -60)) == 1.0


def test_what_is_no_speech_never_passes():
    assert share(LevelGate(), sound(1, -20), speech=False) == 0.0


def test_in_a_quiet_room_the_user_may_be_much_quieter_than_before():
    gate = LevelGate()
    share(gate, sound(1, -90), speech=False)
    assert share(gate, sound(1, -26)) == 1.0
    share(gate, sound(1, -90), speech=False)
    assert share(gate, sound(1, -46)) == 1.0


def test_babble_below_the_user_does_not_pass_however_long_it_goes_on():
    gate = LevelGate()
    share(gate, sound(2, -38))
    assert share(gate, sound(2, -26)) > 0.95
    assert share(gate, sound(30, -38)) < 0.02
    assert share(gate, sound(1, -26)) > 0.9


def test_where_the_detector_can_tell_the_level_does_not_matter():
    gate = LevelGate()
    share(gate, sound(2, -38), speech=False)
    assert share(gate, sound(2, -26)) == 1.0
    share(gate, sound(1, -38), speech=False)
    assert share(gate, sound(1, -37)) == 1.0


def test_what_a_detector_still_hears_when_speech_is_over_does_not_pass():
    gate = LevelGate()
    share(gate, sound(1, -80), speech=False)
    share(gate, sound(2, -26))
    assert share(gate, sound(0.2, -80)) <= 0.3  # the 60 ms over which a level is taken


def test_the_user_s_level_follows_down_slowly_and_up_at_once():
    gate = LevelGate()
    share(gate, sound(1, -20))
    share(gate, sound(5, -25))
    assert gate.user == pytest.approx(-25, abs=1.0)
    share(gate, sound(0.2, -15))
    assert gate.user == pytest.approx(-15, abs=1.0)


def test_speech_without_any_pause_stays_speech():
    assert share(LevelGate(), sound(20, -26)) == 1.0
