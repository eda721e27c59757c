"""Sound that may be the beginning of speech."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np

from audio_io.clock import FRAME
from audio_io.levels import from_db
from audio_io.signal import Audio
from model.engine import Frame
from model.hearing.first_sounds import FirstSounds
from model.hearing.hearing import Hearing
from model.turns.turn_settings import TurnSettings

RNG = np.random.default_rng(7)
USER_DB = -26.0


def sound(seconds: float, level: float) -> list[Audio]:
    """Frames of noise at an RMS of ``level`` dBFS."""
    noise = RNG.standard_normal((round(seconds * 50), FRAME)).astype(np.float32)
    return list(noise * np.float32(from_db(level)))


def suspected(first: FirstSounds, frames: Iterable[Audio], *, speech: bool = False) -> list[bool]:
    """Whether each of ``frames`` may be the beginning of speech."""
    found = []
    for frame in frames:
        first.take(frame, speech=speech, user=USER_DB)
        found.append(first.may_be_speech)
    return found


def in_a_room(level: float) -> FirstSounds:
    """After speech and a second of silence in a room with noise at ``level`` dBFS."""
    first = FirstSounds()
    suspected(first, sound(1.0, level))
    suspected(first, sound(1.0, USER_DB), speech=True)
    assert not any(suspected(first, sound(1.0, level)))
    return first


def test_the_first_frame_that_stands_out_is_suspected() -> None:
    for room in (-90.0, -60.0, -40.0):
        assert all(suspected(in_a_room(room), sound(0.12, room + 10.0 if room > -60 else -45.0)))


def test_a_sound_is_suspected_once_and_not_for_long() -> None:
    assert suspected(in_a_room(-60.0), sound(1.0, -40.0)).count(True) == 6


def test_what_the_detector_finds_is_suspected_no_more() -> None:
    first = in_a_room(-60.0)
    assert all(suspected(first, sound(0.06, -40.0)))
    assert not any(suspected(first, sound(0.2, -26.0), speech=True))
    assert not any(suspected(first, sound(0.1, -40.0)))  # the end of speech fades


def test_noise_that_was_heard_before_is_not_suspected() -> None:
    first = in_a_room(-60.0)
    click = [*sound(0.02, -30.0), *sound(0.38, -60.0)]
    assert any(suspected(first, click))
    assert not any(suspected(first, click * 10))


def test_what_is_far_softer_than_the_user_is_not_suspected() -> None:
    assert not any(suspected(in_a_room(-90.0), sound(0.5, USER_DB - 45.0)))


def test_nothing_is_suspected_before_the_room_is_known() -> None:
    assert not any(suspected(FirstSounds(), sound(0.2, -20.0)))


class LateDetector:
    """Hears speech 0.06 s after it began."""

    def __init__(self) -> None:
        self._loud = 0

    def process(self, samples: Audio) -> float:
        self._loud = self._loud + 1 if samples.std() > from_db(-40) else 0
        return float(self._loud > 3)

    def reset(self) -> None:
        self._loud = 0


def test_speech_is_suspected_from_its_beginning_until_there_is_enough_to_tell() -> None:
    hearing = Hearing(LateDetector(), TurnSettings())
    at, told = 0, []
    for frame in (*sound(1, -60), *sound(1, USER_DB), *sound(1, -60), *sound(0.3, USER_DB)):
        hearing.hear(Frame(at, frame))
        told.append((hearing.speech_may_begin, hearing.speech_began))
        at += FRAME
    assert told[-16:-15] == [(False, False)]
    assert told[-15:-9] == [(True, False)] * 6
    assert told[-9:] == [(False, True)] * 9
