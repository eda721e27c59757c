"""The simulated room, and the noise in it."""

from __future__ import annotations

import numpy as np
import pytest

from audio_io.acoustics import noise
from audio_io.acoustics.echo_path import EchoPath
from audio_io.files import AudioWriter, read_audio
from audio_io.levels import at_level, measure, span_of_sound
from covo_cli.conversation.consumer import Tick
from covo_cli.simulation.room import Room
from tests.fakes.engine import FakeMicrophone, silence, speech

N = 16_000


def rng() -> np.random.Generator:
    return np.random.default_rng(3)


@pytest.mark.parametrize(
    "sound",
    [
        noise.white(N, -40.0, rng()),
        noise.pink(N, -40.0, rng()),
        noise.hum(N, -40.0),
        noise.babble([speech(0.3), -speech(0.2)], N, -40.0, rng()),
        noise.scaled(noise.key_clicks(N, rng()), -40.0),
    ],
    ids=["white", "pink", "hum", "babble", "clicks"],
)
def test_noise_has_its_level(sound):
    assert sound.shape == (N,)
    assert measure(sound).rms == pytest.approx(-40.0, abs=0.2)


def test_pink_noise_falls_by_3_db_an_octave():
    power = np.abs(np.fft.rfft(noise.pink(60 * N, -40.0, rng()))) ** 2
    octaves = [np.mean(power[f * 60 : 2 * f * 60]) for f in (100, 200, 400, 800, 1600, 3200)]
    steps = np.diff(10 * np.log10(octaves))
    assert steps == pytest.approx([-3.0] * 5, abs=0.4)


def test_a_level_is_that_of_the_louder_half_and_ends_are_where_sound_is():
    sound = np.concatenate([silence(0.5), speech(1.0), silence(0.5)])
    louder = at_level(sound, -26.0)
    assert measure(louder[samples_of(0.5) : samples_of(1.5)]).rms == pytest.approx(-26.0, abs=0.1)
    assert span_of_sound(louder) == (samples_of(0.5), samples_of(1.5))


def samples_of(seconds: float) -> int:
    return round(seconds * N)


def test_the_microphone_hears_the_person_the_noise_and_last_frames_echo(tmp_path):
    hiss = noise.white(400, -60.0, rng())  # not a whole number of frames: it is repeated
    path = EchoPath(delay_s=0.0, rt60=0.0, gain_db=-6.0)
    recording = AudioWriter(tmp_path / "heard.wav", N)
    room = Room(FakeMicrophone([silence(0.1)]), path, hiss, recording)
    tone = np.full(480, 0.4, np.float32)
    heard = []
    for n in range(5):
        heard.append(room.read(0.1))
        room.on_tick(Tick(n * 320, heard[-1], tone, ()))
    room.close()
    room.close()
    np.testing.assert_allclose(heard[0], hiss[:320])
    wrapped = np.concatenate([hiss[320:], hiss[:240]])
    assert np.mean(heard[1] - wrapped) < 0.2  # the resampler is still filling
    echo = heard[3] - np.take(hiss, range(960, 1280), mode="wrap")
    assert echo == pytest.approx(np.full(320, 0.4 * 10 ** (-6 / 20)), rel=0.02)
    np.testing.assert_allclose(
        read_audio(tmp_path / "heard.wav", N), np.concatenate(heard), atol=1e-4
    )


def test_with_headphones_there_is_no_echo():
    room = Room(FakeMicrophone([silence(0.1)]))
    room.on_tick(Tick(0, np.zeros(320, np.float32), np.full(480, 0.4, np.float32), ()))
    assert not np.any(room.read(0.1))
