"""One signal of several channels: where the speech is, whatever is on the others."""

from __future__ import annotations

import numpy as np
import pytest

from audio_io.channels import ChannelMix, parse_channels
from audio_io.errors import AudioError

RATE = 48_000


def speech(seconds: float = 3.0, seed: int = 0) -> np.ndarray:
    """Noise in syllables of 0.2 s with pauses of 0.1 s."""
    rng = np.random.default_rng(seed)
    time = np.arange(round(seconds * RATE)) / RATE
    return (0.1 * rng.standard_normal(len(time)) * (time % 0.3 < 0.2)).astype(np.float32)


def hum() -> np.ndarray:
    time = np.arange(3 * RATE) / RATE
    return (0.3 * np.sin(2 * np.pi * 100 * time)).astype(np.float32)


def hiss(level: float = 0.2) -> np.ndarray:
    return (level * np.random.default_rng(9).standard_normal(3 * RATE)).astype(np.float32)


SILENCE = np.zeros(3 * RATE, np.float32)


def mixed(*channels: np.ndarray, block: int = 1000) -> tuple[np.ndarray, ChannelMix]:
    mix = ChannelMix(len(channels), RATE)
    frames = np.stack(channels, axis=1)
    pieces = [mix.process(frames[at : at + block]) for at in range(0, len(frames), block)]
    return np.concatenate(pieces), mix


@pytest.mark.parametrize("block", [480, 1000, 48_000])
@pytest.mark.parametrize("others", ["silence", "hum", "faint hiss"])
def test_a_microphone_on_input_3_of_4_is_heard_at_its_level(others: str, block: int) -> None:
    other = {"silence": SILENCE, "hum": hum(), "faint hiss": hiss(0.003)}[others]
    got, mix = mixed(other, other, speech(), other, block=block)
    assert mix.used == (3,)
    np.testing.assert_allclose(got[RATE // 10 :], speech()[RATE // 10 :], atol=1e-6)


def test_a_loud_hiss_on_another_input_is_left_out_once_it_is_known() -> None:
    got, mix = mixed(hiss(0.2), speech())
    assert mix.used == (2,)
    np.testing.assert_allclose(got[2 * RATE :], speech()[2 * RATE :], atol=1e-6)


@pytest.mark.parametrize("begin", [0.0, 0.213])
@pytest.mark.parametrize("silent_s", [0.02, 0.5])
def test_a_hiss_after_digital_silence_is_left_out_too(begin: float, silent_s: float) -> None:
    noise = hiss(0.2)
    noise[round(begin * RATE) : round((begin + silent_s) * RATE)] = 0.0
    assert mixed(noise, speech())[1].used == (2,)


def test_speech_with_opposite_signs_does_not_cancel() -> None:
    got, _ = mixed(speech(), -speech())
    np.testing.assert_allclose(np.abs(got), np.abs(speech()), atol=1e-6)


def test_two_speakers_on_two_channels_are_both_kept() -> None:
    first, second = speech(seed=1), np.roll(speech(seed=2), RATE // 7)
    got, mix = mixed(first, second)
    assert mix.used == (1, 2)
    np.testing.assert_allclose(got[RATE:], (first + second)[RATE:] / 2, atol=1e-6)


def test_equal_channels_stay_as_they_are() -> None:
    got, mix = mixed(speech(), speech())
    assert mix.used == (1, 2)
    np.testing.assert_allclose(got, speech(), atol=1e-6)


def test_chosen_channels_are_averaged_and_no_others() -> None:
    frames = np.array([[1.0, 0.5, 0.25]] * 10, np.float32)
    assert ChannelMix(3, RATE, (3,)).process(frames)[0] == 0.25
    assert ChannelMix(3, RATE, (1, 2)).process(frames)[0] == 0.75
    with pytest.raises(AudioError, match="channel 4, but there are only 3"):
        ChannelMix(3, RATE, (1, 4))


def test_the_setting_names_channels_from_1() -> None:
    assert parse_channels(" ") == ()
    assert parse_channels("3") == (3,)
    assert parse_channels("1, 2,1") == (1, 2)
    for wrong in ("0", "-1", "two", "1,", "1-2", "²", "9999999"):
        with pytest.raises(AudioError, match=r"audio\.channels cannot be"):
            parse_channels(wrong)
